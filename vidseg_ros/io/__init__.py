"""Files, bags, videos and image messages: frames in, labels and pictures out; no ROS."""
