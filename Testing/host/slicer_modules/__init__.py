"""Stand-ins for Slicer's Python modules that slicer-core lacks, each imported under Slicer's own name while a Host is
open."""
