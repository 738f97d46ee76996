"""Search for what must not be shared: registry ids, id columns, notebook outputs, scans, large tables, archives."""

from dymo_med.privacy.allowances import Allowances
from dymo_med.privacy.content import Bounds, examine
from dymo_med.privacy.findings import Finding, Kind
from dymo_med.privacy.scan import ScanResult, scan_history, scan_paths

__all__ = ["Allowances", "Bounds", "Finding", "Kind", "ScanResult", "examine", "scan_history", "scan_paths"]
