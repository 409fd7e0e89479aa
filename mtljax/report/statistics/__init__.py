"""Figures over seeds, and what they show: functions of plain results."""
