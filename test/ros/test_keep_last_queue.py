import threading
import time

from vidseg_ros.ros.segmentation.keep_last_queue import KeepLastQueue


def test_newest_wins_and_a_replaced_item_is_reported():
    queue = KeepLastQueue()
    assert [queue.put("a", 1), queue.put("b", 2), queue.put("a", 3)] == [False, False, True]
    assert queue.take() == {"a": 3, "b": 2}
    assert not queue.put("a", 4)


def test_take_waits_and_close_dismisses():
    queue, taken = KeepLastQueue(), []

    def work():
        while (items := queue.take()) is not None:
            taken.append(items)

    thread = threading.Thread(target=work)
    thread.start()
    queue.put("a", 1)
    while not taken:
        time.sleep(0.01)
    queue.close()
    thread.join(5)
    assert not thread.is_alive()
    assert taken == [{"a": 1}]


def test_nothing_is_lost_or_doubled_between_threads():
    queue, seen, replaced = KeepLastQueue(), [], 0

    def work():
        while (items := queue.take()) is not None:
            seen.extend(items.values())

    thread = threading.Thread(target=work)
    thread.start()
    for i in range(2000):
        replaced += queue.put(0, i)
    while not seen or seen[-1] != 1999:
        time.sleep(0.01)
    queue.close()
    thread.join(5)
    assert len(seen) + replaced == 2000
    assert seen == sorted(seen)


def test_what_comes_after_the_end_is_lost():
    queue = KeepLastQueue()
    queue.close()
    assert queue.put("front", 1)
    assert queue.close() == []
