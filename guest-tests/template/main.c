/*
 * template: a guest to begin with. Copy the folder, rename it, and change this text; README.md says
 * how.
 */
#include "guest.h"

int main(void)
{
	tap_plan(2);
	tap_ok(xen_present, "there is a hypervisor with Xen's interface");
	printf("# my command line: \"%s\"\n", command_line());
	tap_ok(xen_version(XENVER_version, NULL) > 0, "it answers a hypercall");
	tap_done();
}
