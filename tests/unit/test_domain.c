/* sources: kernel/domain.c kernel/domain_create.c kernel/domain_destroy.c kernel/domain_result.c */
/* sources: kernel/guest_build.c kernel/pvh_build.c kernel/acpi_build.c kernel/mp_build.c */
/* sources: kernel/multiboot.c kernel/multiboot_build.c kernel/elf.c tests/unit/fake_cpu.c kernel/format.c tests/unit/fake_heap.c tests/unit/quiet.c */
/* flags: -DKEYHOLE_FAKE_REFERENCES */
/*
 * Making domains and taking them apart: what a guest of either kind finds in its memory, and that
 * nothing is left behind, whether it ran or any step of making it failed. Frames, p2m and heap are
 * made up.
 */
#include "fake_heap.h"
#include "kernel/domain.h"
#include "kernel/evtchn.h"
#include "kernel/grant.h"
#include "kernel/guest_devices.h"
#include "kernel/reservation.h"
#include "kernel/xen_state.h"
#include "mm/epoch.h"
#include "mm/frame.h"
#include "mm/window.h"
#include "public/elfnote.h"
#include "public/errno.h"
#include "public/hvm/start_info.h"
#include "public/multiboot.h"
#include "tap.h"
#include <elf.h>

/* --- the made-up machine ---------------------------------------------------------------------- */

#define FRAMES	   8192u /* 32 MiB of "physical" memory; the first 64 are the modules' */
#define FILE_FRAME 16u
#define DATA_FRAME 32u
#define GFNS	   (3u << 18)

static uint8_t (*ram)[PAGE_SIZE];
static uint32_t refs[FRAMES];
static domid_t owners[FRAMES];
static struct p2m_entry *p2m_map_of;
static bool no_large, p2m_there;
static int fail_at = -1, vcpus, tables_late;
static uint64_t mapped;

static bool fails(void)
{
	return fail_at >= 0 && fail_at-- == 0;
}

bool fake_heap_fails(void)
{
	return fails();
}

int frame_alloc(unsigned order, domid_t owner, enum frame_type type, mfn_t *out)
{
	uint64_t count = 1ull << order;
	(void)type;
	if (fails() || (no_large && order))
		return -XEN_ENOMEM;
	for (uint64_t f = 512; f + count <= FRAMES; f += count) {
		bool is_free = true;
		for (uint64_t i = 0; i < count && is_free; i++)
			is_free = !refs[f + i];
		if (!is_free)
			continue;
		for (uint64_t i = 0; i < count; i++) {
			refs[f + i] = 1;
			owners[f + i] = owner;
			memset(ram[f + i], 0, PAGE_SIZE);
		}
		*out = make_mfn(f);
		return 0;
	}
	return -XEN_ENOMEM;
}
void frame_free(mfn_t first, unsigned order)
{
	for (uint64_t i = 0; i < 1ull << order; i++)
		if (refs[first.raw + i]-- != 1)
			bail_out("frame freed while referenced");
}
void frame_put(mfn_t frame)
{
	if (!refs[frame.raw]--)
		bail_out("frame put once too often");
}
void frame_put_run(mfn_t first, uint64_t count)
{
	while (count--)
		frame_put(mfn_add(first, count));
}
static uint64_t frames_used(void)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < FRAMES; i++)
		n += refs[i] != 0;
	return n;
}
uint64_t frame_owned(domid_t owner)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < FRAMES; i++)
		n += refs[i] && owners[i] == owner;
	return n;
}
static uint64_t frames_going; /* wait for their epoch */
uint64_t frame_going(domid_t owner)
{
	return owner == 1 ? frames_going : 0;
}
static uint64_t frames_free_reported = FRAMES;
void frame_get_stats(struct frame_stats *out)
{
	memset(out, 0, sizeof(*out));
	out->free = frames_free_reported;
}

void memory_put_removed(gfn_t gfn, const struct p2m_entry *entry, uint64_t frame_count, void *ctx)
{
	const struct domain *d = ctx;

	(void)gfn;
	if (d->id != 1)
		bail_out("not of this domain");
	if (entry->type == P2M_RAM || entry->type == P2M_FOREIGN)
		frame_put_run(entry->frame, frame_count);
}
bool demand_detach_step(struct domain *d)
{
	(void)d;
	return true;
}
void demand_free_all(struct domain *d)
{
	(void)d;
}
bool memory_fill(struct p2m *p2m, gfn_t gfn)
{
	mfn_t frame;

	if (p2m_lookup(p2m, gfn, &(struct p2m_entry){0}))
		return true;
	if (frame_alloc(0, 1, FRAME_GUEST_RAM, &frame))
		return false;
	int rc = p2m_map(p2m, gfn, frame, 1, P2M_RAM, P2M_RWX);
	if (rc)
		frame_free(frame, 0);
	return !rc;
}

int p2m_init(struct p2m *p2m, uint32_t quota, uint64_t max_gfn)
{
	if (fails())
		return -XEN_ENOMEM;
	p2m->max_gfn = max_gfn;
	p2m->tables.quota = quota;
	p2m->tables.used = 1;
	p2m_there = true;
	return 0;
}
void p2m_destroy(struct p2m *p2m)
{
	if (mapped)
		bail_out("p2m destroyed with something in it");
	/* Its tables come back late. */
	p2m->tables.used = tables_late ? 1 : 0;
	p2m_there = false;
}
/* Entries from 4 GiB on lie behind those below 3 GiB. */
static uint64_t place(uint64_t gfn)
{
	return gfn < GFNS ? gfn : gfn - (GUEST_HOLE_END - GUEST_HOLE_START) / PAGE_SIZE;
}
int p2m_map(struct p2m *p2m, gfn_t gfn, mfn_t frame, uint64_t count, enum p2m_type type,
	    unsigned access)
{
	(void)p2m;
	if (fails())
		return -XEN_ENOMEM;
	for (uint64_t i = 0; i < count; i++)
		p2m_map_of[place(gfn.raw) + i] = (struct p2m_entry){
		    mfn_add(frame, i), type, (uint8_t)access, count == 512 ? 9 : 0};
	mapped += count;
	return 0;
}
int p2m_unmap(struct p2m *p2m, gfn_t gfn, uint64_t count, p2m_removed_fn removed, void *ctx)
{
	(void)p2m;
	for (uint64_t i = 0; i < count; i++) {
		struct p2m_entry *e = &p2m_map_of[place(gfn.raw) + i];
		if (e->type == P2M_NONE)
			continue;
		removed(gfn_add(gfn, i), e, 1, ctx);
		memset(e, 0, sizeof(*e));
		mapped--;
	}
	return 0;
}
struct p2m_entry p2m_find(const struct p2m *p2m, gfn_t gfn)
{
	(void)p2m;
	return p2m_map_of[place(gfn.raw)];
}
void p2m_for_each_from(struct p2m *p2m, gfn_t from,
		       bool (*fn)(gfn_t gfn, const struct p2m_entry *entry, void *ctx), void *ctx)
{
	(void)p2m;
	if (from.raw)
		bail_out("a walk from somewhere");
	for (uint64_t i = 0; mapped && i < GFNS + 4096; i++) {
		const struct p2m_entry *e = &p2m_map_of[i];
		uint64_t gfn = i < GFNS ? i : i + (GUEST_HOLE_END - GUEST_HOLE_START) / PAGE_SIZE;
		if (e->type == P2M_NONE)
			continue;
		if (!fn(make_gfn(gfn), e, ctx))
			return;
		i += (1ull << e->order) - 1;
	}
}

static struct epoch_deferred *deferred;
void epoch_defer(struct epoch_deferred *d, void (*run)(struct epoch_deferred *d))
{
	d->run = run;
	d->next = deferred;
	deferred = d;
}
static void epoch_pass(void)
{
	struct epoch_deferred *d = deferred;
	deferred = NULL;
	while (d) {
		struct epoch_deferred *next = d->next;
		d->run(d);
		d = next;
	}
}

void window_write(mfn_t to, uint32_t offset, const void *from, size_t length)
{
	if (offset + length > PAGE_SIZE || to.raw < 512)
		bail_out("a write beyond a frame, or to a module");
	memcpy(ram[to.raw] + offset, from, length);
}
void window_copy(mfn_t to, uint32_t to_offset, mfn_t from, uint32_t from_offset, size_t length)
{
	if (from_offset + length > PAGE_SIZE)
		bail_out("a read beyond a frame");
	window_write(to, to_offset, ram[from.raw] + from_offset, length);
}
void window_read_phys(void *to, paddr_t from, size_t length)
{
	memcpy(to, (uint8_t *)ram + from.raw, length);
}

/* The grant table is another test's: here it is something to be freed. */
int grant_table_create(struct domain *d)
{
	void *object;
	int rc = heap_alloc(16, d->id, &object);
	if (!rc)
		d->grants = object;
	return rc;
}
bool grant_maps_release_step(struct domain *d)
{
	(void)d;
	return true;
}
static int revocations;
bool grant_revoke_step(struct domain *d)
{
	(void)d;
	return !revocations || !--revocations;
}
void grant_table_free(struct domain *d)
{
	heap_free(d->grants);
	d->grants = NULL;
}

int guest_devices_create(struct domain *d)
{
	return frame_alloc(0, d->id, FRAME_VCPU, &d->devices);
}
void guest_devices_free(struct domain *d)
{
	if (d->devices.raw)
		frame_free(d->devices, 0);
	d->devices = make_mfn(0);
}

static gpa_t entry_set, info_set;
int xen_state_create(struct domain *d)
{
	void *object;
	int rc = heap_alloc(64, d->id, &object);

	d->xen = rc ? NULL : object;
	return rc;
}
bool xen_state_release_step(struct domain *d)
{
	(void)d;
	return true;
}
void xen_state_free(struct domain *d)
{
	heap_free(d->xen);
	d->xen = NULL;
}
bool evtchn_from_others(const struct domain *d)
{
	(void)d;
	return false;
}
uint32_t smp_cpu_count(void)
{
	return 3;
}
int vcpu_timer_create(struct vcpu_shared *v)
{
	(void)v;
	return 0;
}
void vcpu_timer_destroy(struct vcpu_shared *v)
{
	(void)v;
}
int vcpu_create(struct domain *d, uint32_t id, struct vcpu_shared **out)
{
	void *object;
	int rc = heap_alloc(sizeof(struct vcpu_shared), d->id, &object);
	if (rc)
		return rc;
	*out = object;
	(*out)->domain = d;
	(*out)->id = id;
	vcpus++;
	return 0;
}
void trace_keep(const struct vcpu_shared *v)
{
	(void)v;
}

void vcpu_destroy(struct vcpu_shared *v)
{
	vcpus--;
	heap_free(v);
}
static int kicked, parked;
void vcpu_kick(struct vcpu_shared *v)
{
	(void)v;
	kicked++;
}
void vcpu_set_parked(struct vcpu_shared *v)
{
	atomic_store(&v->state, VCPU_PARKED);
	parked++;
}
static const struct vcpu_shared *timer_of;
bool timers_armed(const struct vcpu_shared *v)
{
	return v == timer_of;
}
static uint32_t eax_set;
static gpa_t gdt_set;
void vcpu_set_entry(struct vcpu_shared *v, gpa_t entry, uint32_t eax, gpa_t info, gpa_t gdt)
{
	(void)v;
	gdt_set = gdt;
	eax_set = eax;
	entry_set = entry;
	info_set = info;
}

/* --- tests ------------------------------------------------------------------------------------ */

static struct guest_module modules[3];
static struct refusal why;
#define SEGMENT_SIZE 0x2345u
#define LOAD_AT	     0x100123ull

static void make_file(uint64_t load_at)
{
	uint8_t *file = ram[FILE_FRAME];
	Elf64_Ehdr *e = (Elf64_Ehdr *)file;
	Elf64_Phdr *p = (Elf64_Phdr *)(file + sizeof(*e));
	memset(file, 0, 16 * PAGE_SIZE);
	memcpy(e->e_ident, "\177ELF\2\1\1", 7);
	e->e_type = ET_EXEC;
	e->e_machine = EM_X86_64;
	e->e_version = 1;
	e->e_phoff = sizeof(*e);
	e->e_phentsize = sizeof(*p);
	e->e_phnum = 2;
	p[0] = (Elf64_Phdr){.p_type = PT_LOAD,
			    .p_offset = 0x801,
			    .p_paddr = load_at,
			    .p_filesz = SEGMENT_SIZE,
			    .p_memsz = SEGMENT_SIZE + 0x3000};
	p[1] = (Elf64_Phdr){.p_type = PT_NOTE, .p_offset = 0x400, .p_filesz = 20};
	uint32_t note[5] = {4, 4, XEN_ELFNOTE_PHYS32_ENTRY, 0x006e6558, (uint32_t)load_at + 16};
	memcpy(file + 0x400, note, sizeof(note));
	for (unsigned i = 0; i < SEGMENT_SIZE; i++)
		file[0x801 + i] = (uint8_t)(i * 7 + 1);
	for (unsigned i = 0; i < 2 * PAGE_SIZE; i++)
		((uint8_t *)ram)[DATA_FRAME * PAGE_SIZE + i + 0x10] = (uint8_t)(i * 5 + 3);
}

static void fresh(uint64_t mem)
{
	tables_late = 0;
	memset(modules, 0, sizeof(modules));
	make_file(LOAD_AT);
	modules[0].start = make_paddr(FILE_FRAME * PAGE_SIZE);
	modules[0].size = 0x801 + SEGMENT_SIZE;
	struct guest_config *c = &modules[0].config;
	c->valid = true;
	c->id = 1;
	strcpy(c->name, "a");
	strcpy(c->cmdline, "hello=world");
	c->mem_bytes = mem;
	c->vcpus = 1;
	c->priv_domain = DOMAIN_PRIV_NONE;
	c->module_count = 1;
	c->module_index[0] = 1;
	modules[1].start = make_paddr(DATA_FRAME * PAGE_SIZE + 0x10);
	modules[1].size = PAGE_SIZE + 100;
	modules[1].config.is_data = true;
	strcpy(modules[1].config.cmdline, "the data");
}

static uint8_t at(uint64_t gpa)
{
	const struct p2m_entry *e = &p2m_map_of[place(gpa >> PAGE_SHIFT)];
	if (e->type != P2M_RAM)
		bail_out("no RAM where something should be");
	return ram[e->frame.raw][gpa & 4095];
}
static void get(uint64_t gpa, void *to, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)to)[i] = at(gpa + i);
}
static bool string_at(uint64_t gpa, const char *text)
{
	char buf[64] = "";
	get(gpa, buf, strlen(text) + 1);
	return !strcmp(buf, text);
}

static int create(struct domain **d)
{
	return domain_create(modules, 2, 0, d, &why);
}

/* Takes a domain apart; the number of steps, or -1 if it did not come to an end. */
static int destroy(struct domain *d, int late)
{
	tables_late = late;
	for (int steps = 1; steps < 1000; steps++) {
		if (late && steps > late && !p2m_there)
			atomic_store(&d->p2m.tables.used, 0);
		if (domain_destroy(d))
			return steps;
		epoch_pass();
	}
	return -1;
}

static void contents(void)
{
	struct hvm_start_info info;
	struct hvm_modlist_entry module;
	struct hvm_memmap_table_entry map;
	struct domain *d = NULL;

	fresh(4 << 20);
	is(create(&d), 0, "a guest is made");
	is(mapped, 1024, "with all its RAM");
	is(p2m_map_of[512].order, 9, "in blocks of 2 MiB");
	ok(domain_find(1) == d && domain_next(0) == d && !domain_next(1), "it can be found");
	ok(!domain_find(2) && !domain_find(0) && !domain_find(0x7ff0) && !domain_find(0xffff),
	   "nobody else is there");
	is(entry_set.raw, LOAD_AT + 16, "entry");
	bool same = true;
	for (unsigned i = 0; i < SEGMENT_SIZE; i++)
		same &= at(LOAD_AT + i) == (uint8_t)(i * 7 + 1);
	ok(same, "the segment is where it belongs, though aligned nowhere");
	is(at(LOAD_AT - 1), 0, "nothing before it");
	is(at(LOAD_AT + SEGMENT_SIZE), 0, "zeros behind it");
	get(info_set.raw, &info, sizeof(info));
	is(info_set.raw, (LOAD_AT + SEGMENT_SIZE + 0x3000 + 4095) & ~4095ull,
	   "start info: the next page behind the segments");
	ok(info.magic == XEN_HVM_START_MAGIC_VALUE && info.version == 1 && info.flags == 0,
	   "magic and version");
	ok(string_at(info.cmdline_paddr, "hello=world"), "command line");
	ok(info.rsdp_paddr && !(info.rsdp_paddr & 4095) && info.rsdp_paddr > info.cmdline_paddr &&
	       at(info.rsdp_paddr) == 'R',
	   "ACPI tables begin a page");
	is(info.memmap_entries, 5, "its RAM in two parts, the tables, and two ranges without");
	get(info.memmap_paddr, &map, sizeof(map));
	ok(map.addr == 0 && map.size == info.rsdp_paddr && map.type == XEN_HVM_MEMMAP_TYPE_RAM,
	   "RAM up to the tables");
	get(info.memmap_paddr + sizeof(map), &map, sizeof(map));
	ok(map.addr == info.rsdp_paddr && map.size == PAGE_SIZE &&
	       map.type == XEN_HVM_MEMMAP_TYPE_ACPI,
	   "the tables");
	get(info.memmap_paddr + 2 * sizeof(map), &map, sizeof(map));
	ok(map.addr + map.size == 4 << 20 && map.type == XEN_HVM_MEMMAP_TYPE_RAM, "RAM to the end");
	get(info.memmap_paddr + 3 * sizeof(map), &map, sizeof(map));
	ok(map.addr == 3ull << 30 && map.size == 512 << 20 &&
	       map.type == XEN_HVM_MEMMAP_TYPE_RESERVED,
	   "a part of the hole for foreign pages");
	get(info.memmap_paddr + 4 * sizeof(map), &map, sizeof(map));
	ok(map.addr == 1ull << 38 && map.size == (1ull << 52) - (1ull << 38) &&
	       map.type == XEN_HVM_MEMMAP_TYPE_RESERVED,
	   "and the upper half of its addresses, with all that it has not");
	struct domain large = {.ram_bytes = (1ull << 38) - (1 << 20)};
	ok(domain_foreign_range(&large, 1).start == (1ull << 38) + (1 << 30),
	   "less, where RAM goes so far");
	large.ram_bytes = (1ull << 39) - (1ull << 30);
	is(domain_foreign_range(&large, 1).size, 0, "nothing, where it takes all");
	is(info.nr_modules, 1, "one module");
	get(info.modlist_paddr, &module, sizeof(module));
	ok(module.size == PAGE_SIZE + 100 && !(module.paddr & 4095) &&
	       module.paddr > info.cmdline_paddr,
	   "page aligned, behind the rest");
	ok(string_at(module.cmdline_paddr, "the data"), "its command line");
	same = true;
	for (unsigned i = 0; i < module.size; i++)
		same &= at(module.paddr + i) == (uint8_t)(i * 5 + 3);
	ok(same && !at(module.paddr + module.size), "its contents, and no more");

	domain_end(d, END_TRIPLE_FAULT, 5);
	domain_end(d, END_POWEROFF, 6);
	is(d->end, END_TRIPLE_FAULT, "the first end stays");
	is(d->end_detail, 5, "with its detail");
	ok(!domain_find(1), "who has ended is not found");
	ok(domain_next(0) == d, "but still in the list");
	domain_report(d);
	ok(!domain_result(1)->ok && domain_result(1)->end == END_TRIPLE_FAULT,
	   "its result is kept");
	ok(!domain_destroy(d) && !domain_next(0), "taking it apart hides it at first");
	ok(!domain_destroy(d) && vcpus == 1, "nothing is freed before an epoch has passed");
	epoch_pass();
	int steps = destroy(d, 0);
	ok(steps > 0, "it comes to an end (%d steps)", steps);
	ok(!frames_used() && !fake_heap_objects && !vcpus, "and leaves nothing");

	fresh(2 << 20);
	no_large = true;
	is(create(&d), 0, "with no blocks of 2 MiB");
	is(mapped, 512, "of single frames");
	no_large = false;
	d->end = END_POWEROFF;
	frames_going = 1;
	is(destroy(d, 0), -1, "it is there until the last frame is free");
	frames_going = 0;
	is(destroy(d, 0), 1, "and no longer");
	ok(!frames_used() && !fake_heap_objects, "nothing is left");

	fresh(2 << 20);
	no_large = true;
	is(create(&d), 0, "the same again");
	no_large = false;
	d->end = END_POWEROFF;
	ok(destroy(d, 0) > 512 / 16, "taken apart in many steps");
	ok(!frames_used() && !fake_heap_objects, "nothing is left");

	fresh(3 << 20);
	is(create(&d), 0, "half a block at the end");
	is(mapped, 768, "is single frames");
	p2m_map_of[2000] = (struct p2m_entry){make_mfn(600), P2M_FOREIGN, P2M_RW, 0};
	p2m_map_of[2001] = (struct p2m_entry){make_mfn(600), P2M_GRANT_RW, P2M_RW, 0};
	mapped += 2;
	refs[600] += 2;
	owners[600] = 9;
	d->end = END_POWEROFF;
	revocations = 1000;
	is(destroy(d, 50), -1, "as long as others have its pages");
	ok(domain_owning(1) == d && !domain_next(0) && d->maps_closed && frames_used(),
	   "it is still their owner");
	revocations = 0;
	ok(!domain_destroy(d) && !domain_owning(1) && !domain_destroy(d) && fake_heap_objects,
	   "then nobody finds it, and an epoch passes");
	epoch_pass();
	is(destroy(d, 50), 51, "tables that come back late are waited for");
	is(refs[600], 1, "foreign frames are let go, grants are not: their handles do it");
	refs[600] = 0;
	ok(!frames_used() && !fake_heap_objects, "nothing is left");
}

/* The same file as a multiboot image: its header where the note was. */
static void make_multiboot(uint64_t load_at)
{
	uint32_t header[3] = {MULTIBOOT_HEADER_MAGIC, MULTIBOOT_PAGE_ALIGN,
			      -(MULTIBOOT_HEADER_MAGIC + MULTIBOOT_PAGE_ALIGN)};

	make_file(load_at);
	memcpy(ram[FILE_FRAME] + 0x400, header, sizeof(header));
	((Elf64_Ehdr *)ram[FILE_FRAME])->e_entry = load_at + 32;
	((Elf64_Phdr *)(ram[FILE_FRAME] + sizeof(Elf64_Ehdr)))[1].p_type = PT_NULL;
}

static struct multiboot_info multiboot_info(void)
{
	struct multiboot_info info;
	get(info_set.raw, &info, sizeof(info));
	return info;
}

static void multiboot(void)
{
	struct multiboot_module module;
	struct multiboot_mmap map[4];
	struct domain *d;

	fresh(4 << 20);
	make_multiboot(LOAD_AT);
	strcpy(modules[1].config.name, "data");
	is(create(&d), 0, "a multiboot guest is made");
	is(entry_set.raw, LOAD_AT + 32, "the entry of its ELF header");
	is(eax_set, MULTIBOOT_BOOTLOADER_MAGIC, "EAX");
	is(info_set.raw, 0x9000, "EBX: in low memory");
	is(gdt_set.raw, 0x9000 - 24, "a GDT below that");
	ok(!at(gdt_set.raw) && at(gdt_set.raw + 8) == 0xff && at(gdt_set.raw + 22) == 0xcf, "flat");
	is(at(LOAD_AT + 1), 8, "it is loaded");
	struct multiboot_info info = multiboot_info();
	is(info.flags, 0x24d, "what is valid");
	is(info.mem_lower, 640, "low memory");
	is(info.mem_upper, 3072, "memory from 1 MiB on");
	ok(string_at(info.cmdline, "a hello=world"), "command line, the program's name first");
	ok(string_at(info.boot_loader_name, "Keyhole"), "who loaded it");
	is(info.mods_count, 1, "one module");
	get(info.mods_addr, &module, sizeof(module));
	ok(module.mod_start == ((LOAD_AT + SEGMENT_SIZE + 0x3000 + 4095) & ~4095u) &&
	       module.mod_end - module.mod_start == PAGE_SIZE + 100,
	   "the next page behind the image");
	ok(string_at(module.cmdline, "data the data"), "its command line");
	bool same = true;
	for (unsigned i = 0; i < PAGE_SIZE + 100; i++)
		same &= at(module.mod_start + i) == (uint8_t)(i * 5 + 3);
	ok(same && !at(module.mod_end), "its contents, and no more");
	is(info.mmap_length, 3 * 24, "three ranges of memory");
	get(info.mmap_addr, map, sizeof(map));
	ok(map[0].size == 20 && !map[0].addr && map[0].len == 0xa0000 && map[0].type == 1, "low");
	ok(map[1].size == 20 && map[1].addr == 0xa0000 && map[1].len == 0x60000 && map[1].type == 2,
	   "a PC's BIOS area");
	ok(map[2].size == 20 && map[2].addr == 1 << 20 && map[2].len == 3 << 20 && map[2].type == 1,
	   "high");
	d->end = END_POWEROFF;
	destroy(d, 0);

	fresh(1 << 20);
	make_multiboot(0x8123);
	modules[0].config.module_count = 0;
	is(create(&d), -XEN_EINVAL, "no room behind an image that lies where the information goes");
	epoch_pass();
	fresh(2 << 20);
	make_multiboot(0x8123);
	modules[0].config.cmdline[0] = 0;
	is(create(&d), 0, "with more memory");
	is(info_set.raw, 1 << 20, "it is at 1 MiB");
	is(gdt_set.raw, 0, "and the image where a GDT would be");
	info = multiboot_info();
	get(info.mods_addr, &module, sizeof(module));
	ok(module.mod_start == 0x101000 && at(module.mod_start) == 3, "the module behind it");
	ok(string_at(info.cmdline, "a"), "a name alone");
	d->end = END_POWEROFF;
	destroy(d, 0);

	fresh(1 << 20);
	make_multiboot(0x20000);
	modules[0].config.module_count = 0;
	modules[0].config.lazy = true;
	is(create(&d), 0, "1 MiB, which comes late");
	info = multiboot_info();
	ok(!info.mods_count && info.mods_addr, "a list of no modules has an address");
	ok(!info.mem_upper && info.mmap_length == 2 * 24, "nothing from 1 MiB on");
	d->end = END_POWEROFF;
	destroy(d, 0);

	fresh((3ull << 30) + (8 << 20));
	make_multiboot(LOAD_AT);
	modules[0].config.lazy = true;
	frames_free_reported = 1 << 20;
	is(create(&d), 0, "more than 3 GiB");
	frames_free_reported = FRAMES;
	info = multiboot_info();
	is(info.mem_upper, (3u << 20) - 1024, "only what is below 3 GiB counts as upper memory");
	is(info.mmap_length, 4 * 24, "a fourth range");
	get(info.mmap_addr, map, sizeof(map));
	ok(map[2].len == (3ull << 30) - (1 << 20) && map[3].addr == 1ull << 32 &&
	       map[3].len == 8 << 20 && map[3].type == 1,
	   "from 4 GiB on");
	d->end = END_POWEROFF;
	destroy(d, 0);

	fresh(2 << 20);
	make_multiboot(LOAD_AT);
	modules[1].size = 1 << 20;
	ok(create(&d) == -XEN_EINVAL && strstr(why.text, "need"), "modules that do not fit");
	epoch_pass();
	make_multiboot(3 << 20);
	ok(create(&d) == -XEN_EINVAL && strstr(why.text, "has no RAM"),
	   "an image that does not fit");
	epoch_pass();
	make_file(LOAD_AT);
	memset(ram[FILE_FRAME] + 0x400, 0, 20);
	ok(create(&d) == -XEN_EINVAL && strstr(why.text, "neither a PVH entry"), "neither kind");
	epoch_pass();
	ok(!frames_used() && !fake_heap_objects && !vcpus, "nothing is left");
}

static void failing_steps(bool lazy)
{
	struct domain *d;

	no_large = false;
	for (int step = 0;; step++) {
		fresh(2 << 20);
		modules[0].config.lazy = lazy;
		fail_at = step;
		int rc = create(&d);
		bool reached = fail_at < 0;
		fail_at = -1;
		if (!rc && !reached) {
			ok(step > 5, "%d steps can fail", step);
			d->end = END_POWEROFF;
			destroy(d, 0);
			break;
		}
		if (!rc) {
			/* Without its large block: single frames did as well. */
			d->end = END_POWEROFF;
			destroy(d, 0);
			continue;
		}
		epoch_pass();
		if (frames_used() || fake_heap_objects || vcpus || p2m_there || domain_next(0))
			fail("step %d fails and leaves something behind", step);
		if (!why.text[0])
			fail("step %d fails without a text", step);
	}
	pass("each leaves nothing behind");
}

static void failures(void)
{
	struct domain *d;

	failing_steps(false);
	failing_steps(true);

	static const struct {
		const char *what, *text;
		uint64_t load_at, mem, module_size;
	} cases[] = {
	    {"a segment behind its RAM", "has no RAM", 3 << 20, 2 << 20, 10},
	    {"a segment in the hole", "has no RAM", 0xc0000000, 2 << 20, 10},
	    {"modules that do not fit", "need", LOAD_AT, 2 << 20, 1 << 20},
	    {"no room for the start info", "need", (2 << 20) - SEGMENT_SIZE - 0x3000, 2 << 20, 10},
	};
	for (unsigned i = 0; i < array_size(cases); i++) {
		fresh(cases[i].mem);
		make_file(cases[i].load_at);
		modules[1].size = cases[i].module_size;
		int rc = create(&d);
		epoch_pass();
		if (!ok(rc == -XEN_EINVAL && strstr(why.text, cases[i].text), "%s", cases[i].what))
			diag("%d: %s", rc, why.text);
		ok(!frames_used() && !fake_heap_objects && !vcpus, "nothing is left");
	}
	fresh(2 << 20);
	modules[0].size = 100;
	is(create(&d), -XEN_EINVAL, "a file cut off");
	epoch_pass();
	fresh(1ull << 40);
	frames_free_reported = 1000;
	is(create(&d), -XEN_ENOMEM, "more memory than there is");
	ok(strstr(why.text, "4000 KiB are free"), "says how much there is");
	frames_free_reported = FRAMES;
	fresh(2 << 20);
	modules[0].config.id = DOMAINS_MAX + 1;
	is(create(&d), -XEN_EINVAL, "an id beyond the table");
	fresh(2 << 20);
	struct domain *first;
	is(create(&first), 0, "one guest");
	uint64_t used = frames_used();
	is(create(&d), -XEN_EEXIST, "another with its id");
	epoch_pass();
	is(frames_used(), used, "leaves nothing");
	ok(domain_find(1) == first, "and does not replace it");
}

static void pins(void)
{
	struct domain *d = NULL;

	fresh(4 << 20);
	modules[0].config.weight = 3;
	modules[0].config.cap_percent = 150;
	cpu_set_add(&modules[0].config.pin, 2);
	cpu_set_add(&modules[0].config.pin, 7);
	is(create(&d), -XEN_EINVAL, "none of its processors runs guests");
	is(fake_heap_objects, 0, "nothing is left");
	cpu_shared[2].runs_guests = true;
	is(create(&d), 0, "one of them does");
	is(d->pin.words[0], 4, "it may run there, not where there is none");
	ok(d->vcpus[0]->weight == 3 && d->cap_percent == 150, "its weight and cap");
	domain_end(d, END_DESTROYED, 0);
	ok(destroy(d, 0) > 0, "taken apart");
	modules[0].config.pin = (struct cpu_set){{0}};
	is(create(&d), 0, "no list");
	is(d->pin.words[0], 7, "all there are");
	domain_end(d, END_DESTROYED, 0);
	ok(destroy(d, 0) > 0, "taken apart");
	cpu_shared[2].runs_guests = false;
}

static void ranges(void)
{
	struct domain_range r[DOMAIN_RANGES_MAX];

	is(domain_ram_ranges(3ull << 30, r), 1, "3 GiB: one range");
	is(domain_ram_ranges((3ull << 30) + 4096, r), 2, "a page more: two");
	ok(r[0].size == 3ull << 30 && r[1].start == 4ull << 30 && r[1].size == 4096,
	   "the second from 4 GiB on");
	domain_report_not_started(7, "seven");
	ok(domain_result(7) && !domain_result(7)->ok && !domain_result(8),
	   "one that did not start");
	domain_report_not_started(DOMAINS_MAX + 1, "x");
	for (unsigned i = END_NONE; i <= END_NOT_STARTED; i++)
		if (!domain_end_text(i)[0])
			fail("end %u has no text", i);
	is_str(domain_end_text(99), "unknown end", "an end that is none");
}

int main(void)
{
	tap_no_plan();
	ram = aligned_alloc(4096, FRAMES * PAGE_SIZE);
	p2m_map_of = calloc(GFNS + 4096, sizeof(*p2m_map_of));
	pins();
	contents();
	multiboot();
	failures();
	ranges();
	return tap_end();
}
