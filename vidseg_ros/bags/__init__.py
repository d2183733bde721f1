"""Bags and image messages without ROS."""
