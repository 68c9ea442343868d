/* What a mapping of the hypervisor is for, and whose: between the files of the audit. */
#ifndef KEYHOLE_MM_AUDIT_CLASS_H
#define KEYHOLE_MM_AUDIT_CLASS_H

#include "mm/hostpt.h"

enum audit_class {
	AUDIT_IMAGE_TEXT,
	AUDIT_IMAGE_RODATA,
	AUDIT_IMAGE_DATA,
	AUDIT_FRAME_TABLE,
	AUDIT_TABLES_USED,
	AUDIT_TABLES_FREE,
	AUDIT_HEAP,
	AUDIT_META_VMAP,
	AUDIT_META_HEAP,
	AUDIT_META_PAHASH,
	AUDIT_VMAP_OTHER,
	AUDIT_DEVICE,
	AUDIT_PRIVATE_TABLES,
	AUDIT_PRIVATE_DATA,
	AUDIT_PRIVATE_STACK,
	AUDIT_PRIVATE_IST,
	AUDIT_PRIVATE_VCPU,
	AUDIT_PRIVATE_WINDOW,
	AUDIT_DIRECT_MAP,
	AUDIT_STRAY, /* in no region, or where its region has a guard */
	AUDIT_CLASS_COUNT
};

/* One kind of page: those with an equal key are counted or shown together. */
struct audit_kind {
	enum audit_class class;
	enum host_prot prot;
	bool of_cpu; /* private to this CPU; a vCPU's registers belong to its domain all the same */
	domid_t domain; /* DOMID_HYPERVISOR: no domain's */
};

#define AUDIT_OWNER_SIZE 8u

/* Where a walk in address order is within an area of the vmap region; zero at its start. */
struct audit_area {
	uint64_t end;
	enum audit_class class;
	domid_t domain;
};

struct audit_kind audit_classify(const struct hostpt_leaf *leaf, size_t page,
				 struct audit_area *area);
const char *audit_class_name(enum audit_class class);
const char *audit_rights(enum host_prot prot);
void audit_owner(const struct audit_kind *kind, char text[AUDIT_OWNER_SIZE]);

static inline bool audit_kind_equal(const struct audit_kind *a, const struct audit_kind *b)
{
	return a->class == b->class && a->prot == b->prot && a->domain == b->domain &&
	       a->of_cpu == b->of_cpu;
}

#endif
