/* A guest's configuration, as written on its boot module's command line. kernel/guest_config.c. */
#ifndef KEYHOLE_KERNEL_GUEST_CONFIG_H
#define KEYHOLE_KERNEL_GUEST_CONFIG_H

#include "../domain.h"
#include "../types.h"
#include "refusal.h"

#define GUEST_NAME_MAX	  DOMAIN_NAME_MAX /* with the terminator */
#define GUEST_CMDLINE_MAX 512u		  /* with the terminator */
#define GUEST_MODULES_MAX 8u

#define GUEST_MEM_DEFAULT (32ull << 20)
#define GUEST_MEM_MIN	  (1ull << 20) /* the first MiB at least: real-mode start needs it */
#define GUEST_MEM_MAX	  (256ull << 30)

struct guest_config {
	bool is_data; /* a file for other guests, not a guest */
	domid_t id;   /* of a guest: from 1, in the order of the modules; 0 for data */
	char name[GUEST_NAME_MAX];
	uint64_t mem_bytes; /* multiple of PAGE_SIZE */
	bool lazy;	    /* populate=lazy */
	bool start_later;   /* start=later: only when it is asked for */
	bool mmio_strict;   /* mmio=strict */
	uint32_t vcpus;
	uint32_t weight;      /* of each vCPU */
	uint32_t cap_percent; /* of one CPU's time; 0: none */
	struct cpu_set pin;   /* empty: any CPU */
	char cmdline[GUEST_CMDLINE_MAX];
	char priv[GUEST_NAME_MAX];  /* name, "*" for all, empty for none */
	char image[GUEST_NAME_MAX]; /* whose file is started; empty: its own */
	uint32_t module_count;
	char modules[GUEST_MODULES_MAX][GUEST_NAME_MAX];

	/* Filled in by guest_config_resolve(). */
	bool valid;
	domid_t priv_domain;   /* DOMAIN_PRIV_NONE, DOMAIN_PRIV_ALL or an id */
	uint32_t image_module; /* index of the boot module that holds its file */
	uint32_t module_index[GUEST_MODULES_MAX];
};

int guest_config_parse(const char *cmdline, struct guest_config *out, struct refusal *why) must_use;
void guest_config_number(struct guest_config *configs, uint32_t count);
int guest_config_resolve(struct guest_config *configs, uint32_t count, uint32_t which,
			 struct refusal *why) must_use;

#endif
