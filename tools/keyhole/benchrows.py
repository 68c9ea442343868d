"""The rows of `make bench`: what is measured, the figure to reach, and what others need for it.

Figures are instructions executed, as Bochs counts them. `peer` is what another hypervisor needed in
the same emulator: Debian 12's KVM (Linux 6.1) or Xen 4.17, the smaller where both are known.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    name: str
    what: str
    goal: int
    peer: float | None = None
    peer_name: str = ""
    missing: str = ""  # why it is not measured (yet), if it is not

    @property
    def unit_pages(self):
        return PAGES.get(self.name, 1)


# Pages in the batch that a trace of the row shows.
PAGES = {"grant_map_64": 64, "grant_unmap_64": 64, "grant_copy_16": 16, "decrease_64": 64,
         "populate_64": 64, "foreign_map_512": 64}
# Rows that are the difference of two traces.
WITHOUT = {"copy_in": "copy_in_without", "copy_in_phys": "copy_in_without"}

NO_SLOTS = "no two frames that share a slot were found"

ROWS = [
    Row("cpuid_exit", "CPUID exit", 100, 875, "Xen"),
    Row("hypercall_null", "null hypercall", 85, 873, "Xen"),
    Row("rdmsr_exit", "RDMSR exit", 110, 831, "Xen"),
    Row("evtchn_send", "event sent to a port", 200, 5978, "Xen"),
    Row("evtchn_send_phys", "the same, guest-physical argument", 200, 5978, "Xen"),
    Row("ept_populate", "EPT violation, scrubbed frame", 250, 4550, "Xen"),
    Row("ept_populate_scrub", "the same with the scrub", 900, 6791, "KVM"),
    Row("copy_in", "24-byte argument copied in", 250, 4970, "Xen"),
    Row("copy_in_phys", "the same, guest-physical", 100, 4970, "Xen"),
    Row("window_fixed", "window, fixed slot, open+close", 15),
    Row("window_hit", "window, cached slot, hit", 24, 99, "Xen", NO_SLOTS),
    Row("window_miss", "window, cached slot, miss", 65, 150, "Xen", NO_SLOTS),
    Row("pahash_first", "PA->VA, first probe", 14),
    Row("pahash_lookup", "PA->VA, mean", 18),
    Row("gfn_to_mfn", "gfn to mfn, linear view", 20),
    Row("gfn_walk", "gfn to mfn, walk", 50),
    Row("frame_ref", "frame reference, get+put", 24),
    Row("grant_map_64", "grant map, page of 64", 190, 13380, "Xen"),
    Row("grant_unmap_64", "grant unmap, page of 64", 150, 13940, "Xen"),
    Row("grant_copy_16", "grant copy, 4 KiB of 16", 900, 11753, "Xen"),
    Row("decrease_64", "memory taken back, page of 64", 150, 9702, "Xen"),
    Row("populate_64", "memory given, page of 64", 750, 8319, "Xen"),
    Row("foreign_map_512", "foreign map, page of 512", 55, 1737, "Xen"),
    Row("demand_fault", "demand-window fault", 500),
    Row("domain_switch", "domain switch on a CPU", 700),
]
