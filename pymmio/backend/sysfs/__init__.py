"""Devices through the files that sysfs has of them, and ranges of physical memory."""
