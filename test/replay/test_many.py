"""Many bags, over processes and over Ray."""

import json
import os
import signal
from pathlib import Path

import pytest

from test.io.making import write_bag
from test.replay.conftest import messages
from test.replay.test_replay import written
from vidseg_ros.cli.main import main
from vidseg_ros.errors import UserError
from vidseg_ros.replay import many
from vidseg_ros.replay.many import Job, plan, run_here, run_over_machines, run_over_processes


@pytest.fixture
def bags(drive, tmp_path):
    """Return three bags, the second of them broken."""
    paths = [
        write_bag(tmp_path / name, {"/front/image_raw": messages([f.rgb for f in drive[start : start + 5]])})
        for start, name in enumerate(("one", "two", "three"))
    ]
    (paths[1] / "metadata.yaml").unlink()
    return paths


class DyingJob(Job):
    """Its process dies in the midst of the first attempt."""

    def run(self, progress=lambda: None):
        mark = self.folder.with_suffix(".died")
        if self.path.name == "three" and not mark.exists():
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(progress)


class DeadJob(Job):
    """Its process dies at every attempt."""

    def run(self, progress=lambda: None):
        os.kill(os.getpid(), signal.SIGKILL)


def outcome(results):
    return {job.path.name: problem for job, problem in results}


def without_marks(output):
    return {name: data for name, data in written(output).items() if not name.endswith(".died")}


def test_inputs_of_one_name_have_folders_of_their_own(config):
    inputs = [Path(name) for name in ("a/drive", "b/drive", "c/drive_2")]
    assert [job.folder.name for job in plan(inputs, Path("out"), config)] == ["drive", "drive_2", "drive_2_2"]


def test_processes_give_the_same_bytes_and_survive_death(bags, config, tmp_path):
    here = outcome(run_here(plan(bags, tmp_path / "here", config), lambda: None))
    jobs = [DyingJob(job.path, job.folder, job.config) for job in plan(bags, tmp_path / "there", config)]
    there = outcome(run_over_processes(jobs, 2))
    assert here == there
    assert (here["one"], here["three"]) == ("", "")
    assert "cannot read bag" in here["two"]
    assert (tmp_path / "there/three.died").exists()
    assert written(tmp_path / "here") == without_marks(tmp_path / "there")


def test_a_process_that_always_dies_is_given_up(bags, config, tmp_path, monkeypatch):
    monkeypatch.setattr(many, "ATTEMPTS", 1)
    (job,) = plan(bags[:1], tmp_path, config)
    ((_, problem),) = run_over_processes([DeadJob(job.path, job.folder, job.config)], 1)
    assert "died 1 times" in problem


def test_ray_gives_the_same_bytes_and_survives_death(bags, config, tmp_path):
    pytest.importorskip("ray")
    list(run_here(plan(bags, tmp_path / "here", config), lambda: None))
    jobs = [DyingJob(job.path, job.folder, job.config) for job in plan(bags, tmp_path / "there", config)]
    before = signal.getsignal(signal.SIGTERM)
    found = outcome(run_over_machines(jobs, "local"))
    assert signal.getsignal(signal.SIGTERM) == before, "the handler of Ray ends a process at once"
    assert (found["one"], found["three"]) == ("", "")
    assert "cannot read bag" in found["two"]
    assert written(tmp_path / "here") == without_marks(tmp_path / "there")


def test_no_ray_is_one_line(monkeypatch):
    monkeypatch.setattr(many, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'vidseg_ros\[ray\]'"):
        list(run_over_machines([], "auto"))


def test_the_verb_reports_the_broken_and_goes_on(bags, config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("vidseg_ros.evaluation.bootstrap.RESAMPLES", 20)
    command = ["replay", *map(str, bags), "--checkpoint", config.checkpoint, "--output", str(tmp_path / "out")]
    assert main([*command, "--device", "cpu", "--threads", "1"]) == 2
    assert "two: cannot read bag" in capsys.readouterr().err
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert (metrics["frames"], len(metrics["problems"])) == (10, 1)
    assert "cannot read bag" in (tmp_path / "out/report.html").read_text()
