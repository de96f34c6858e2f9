"""Many boxes as one: started and stopped together, looked at as one table, renewed one by one."""

from nsbox.fleet.fleet import Fleet
from nsbox.fleet.table import FleetRow, FleetStats
from nsbox.progress import on_bar

__all__ = ["Fleet", "FleetRow", "FleetStats", "on_bar"]
