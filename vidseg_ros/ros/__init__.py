"""Everything that speaks ROS 2; nothing outside this folder imports rclpy."""
