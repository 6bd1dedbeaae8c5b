"""When things run by themselves: jobs, schedules, sensors."""
