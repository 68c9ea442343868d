/*
 * L0's program that runs one small guest directly on /dev/kvm, in QEMU's place: for what KVM's
 * exits cost (make bench PEER=kvm).
 *
 *   vmm ELF WORDS    starts the ELF file as Xen starts a PVH guest, with WORDS as its command line
 *
 * What the guest writes to port 0xe9 goes to standard output; a write to port 0xf4 ends it, with
 * that status. Its RAM is anonymous memory in 4 KiB pages that nothing has touched, as a guest's is
 * that was not allocated in advance.
 *
 * Sources: Linux, Documentation/virt/kvm/api.rst; Xen's public headers arch-x86/hvm/start_info.h
 * and elfnote.h.
 */
#include <elf.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM_BYTES     (32ul << 20)
#define AT_INFO	      0x1000u
#define AT_CMDLINE    0x2000u
#define AT_MEMMAP     0x3000u
#define CMDLINE_BYTES 0x1000u
#define CPUID_ENTRIES 256

#define NOTE_PHYS32_ENTRY 18u
#define START_INFO_MAGIC  0x336ec578u
#define MEMMAP_RAM	  1u

#define PORT_TEXT 0xe9u
#define PORT_END  0xf4u

#define CR0_PE		   1u
#define RFLAGS_FIXED	   2u
#define SEGMENT_CODE_RX_A  11
#define SEGMENT_DATA_RW_A  3
#define SEGMENT_TSS32_BUSY 11

struct start_info {
	uint32_t magic, version, flags, modules;
	uint64_t module_addr, cmdline_addr, rsdp_addr, memmap_addr;
	uint32_t memmap_entries, reserved;
};
struct memmap_entry {
	uint64_t addr, size;
	uint32_t type, reserved;
};

static uint8_t *ram;

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(111);
}

static int control(int fd, unsigned long request, void *argument, const char *what)
{
	int result = ioctl(fd, request, argument);

	if (result < 0)
		die(what);
	return result;
}

/* Address of the entry point that a segment of notes names; 0 if it names none. */
static uint32_t find_entry(const uint8_t *note, const uint8_t *end)
{
	while (note + sizeof(Elf64_Nhdr) <= end) {
		const Elf64_Nhdr *head = (const void *)note;
		const uint8_t *name = note + sizeof(*head),
			      *value = name + ((head->n_namesz + 3) & ~3u);
		uint32_t entry;

		if (head->n_type == NOTE_PHYS32_ENTRY && !strcmp((const char *)name, "Xen")) {
			memcpy(&entry, value, sizeof(entry));
			return entry;
		}
		note = value + ((head->n_descsz + 3) & ~3u);
	}
	return 0;
}

/* Puts the segments of an ELF file into RAM; returns its PVH entry point. The file is our own. */
static uint32_t load(const char *path)
{
	int fd = open(path, O_RDONLY);
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	const uint8_t *file =
	    mmap(NULL, size > 0 ? (size_t)size : 1, PROT_READ, MAP_PRIVATE, fd, 0);
	uint32_t entry = 0;

	if (file == MAP_FAILED || size < (off_t)sizeof(Elf64_Ehdr))
		die(path);
	const Elf64_Ehdr *elf = (const void *)file;
	const Elf64_Phdr *segment = (const void *)(file + elf->e_phoff);
	for (unsigned i = 0; i < elf->e_phnum; i++, segment++) {
		const uint8_t *data = file + segment->p_offset;

		if (segment->p_type == PT_NOTE)
			entry = find_entry(data, data + segment->p_filesz);
		if (segment->p_type == PT_LOAD && segment->p_paddr + segment->p_memsz <= RAM_BYTES)
			memcpy(ram + segment->p_paddr, data, segment->p_filesz);
	}
	if (!entry) {
		fprintf(stderr, "%s has no PVH entry point\n", path);
		exit(111);
	}
	return entry;
}

static void start_info(const char *words)
{
	struct start_info *info = (void *)(ram + AT_INFO);
	struct memmap_entry *map = (void *)(ram + AT_MEMMAP);

	*map = (struct memmap_entry){.size = RAM_BYTES, .type = MEMMAP_RAM};
	strncpy((char *)ram + AT_CMDLINE, words, CMDLINE_BYTES - 1);
	*info = (struct start_info){.magic = START_INFO_MAGIC,
				    .version = 1,
				    .cmdline_addr = AT_CMDLINE,
				    .memmap_addr = AT_MEMMAP,
				    .memmap_entries = 1};
}

/* 32-bit protected mode without paging, flat segments, EBX: the start info. */
static void set_registers(int vcpu, uint32_t entry)
{
	struct kvm_regs regs = {.rip = entry, .rbx = AT_INFO, .rflags = RFLAGS_FIXED};
	struct kvm_segment flat = {.limit = 0xffffffff,
				   .selector = 0x10,
				   .type = SEGMENT_DATA_RW_A,
				   .present = 1,
				   .db = 1,
				   .s = 1,
				   .g = 1};
	struct kvm_sregs s;

	control(vcpu, KVM_GET_SREGS, &s, "KVM_GET_SREGS");
	s.ds = s.es = s.fs = s.gs = s.ss = s.cs = flat;
	s.cs.type = SEGMENT_CODE_RX_A;
	s.cs.selector = 0x08;
	s.tr = (struct kvm_segment){.limit = 0x67, .type = SEGMENT_TSS32_BUSY, .present = 1};
	s.cr0 |= CR0_PE;
	control(vcpu, KVM_SET_SREGS, &s, "KVM_SET_SREGS");
	control(vcpu, KVM_SET_REGS, &regs, "KVM_SET_REGS");
}

static void set_cpuid(int kvm, int vcpu)
{
	struct kvm_cpuid2 *all = calloc(1, sizeof(*all) + CPUID_ENTRIES * sizeof(all->entries[0]));

	if (!all)
		die("calloc");
	all->nent = CPUID_ENTRIES;
	control(kvm, KVM_GET_SUPPORTED_CPUID, all, "KVM_GET_SUPPORTED_CPUID");
	control(vcpu, KVM_SET_CPUID2, all, "KVM_SET_CPUID2");
	free(all);
}

/* Runs until the guest ends; returns its status. */
static int run(int vcpu, const struct kvm_run *state)
{
	for (;;) {
		control(vcpu, KVM_RUN, NULL, "KVM_RUN");
		if (state->exit_reason != KVM_EXIT_IO || state->io.direction != KVM_EXIT_IO_OUT) {
			fprintf(stderr, "the guest left for reason %u\n", state->exit_reason);
			return 111;
		}
		const uint8_t *data = (const uint8_t *)state + state->io.data_offset;
		if (state->io.port == PORT_END)
			return *data;
		if (state->io.port == PORT_TEXT)
			putchar(*data);
	}
}

int main(int argc, char **argv)
{
	struct kvm_userspace_memory_region region = {.memory_size = RAM_BYTES};
	int kvm = open("/dev/kvm", O_RDWR);

	if (argc != 3 || kvm < 0)
		die("/dev/kvm");
	int vm = control(kvm, KVM_CREATE_VM, NULL, "KVM_CREATE_VM");
	ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ram == MAP_FAILED)
		die("mmap");
	madvise(ram, RAM_BYTES, MADV_NOHUGEPAGE);
	uint32_t entry = load(argv[1]);
	start_info(argv[2]);
	region.userspace_addr = (uintptr_t)ram;
	control(vm, KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");

	int vcpu = control(vm, KVM_CREATE_VCPU, NULL, "KVM_CREATE_VCPU");
	int bytes = control(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL, "KVM_GET_VCPU_MMAP_SIZE");
	const struct kvm_run *state = mmap(NULL, (size_t)bytes, PROT_READ, MAP_SHARED, vcpu, 0);
	if (state == MAP_FAILED)
		die("mmap");
	set_cpuid(kvm, vcpu);
	set_registers(vcpu, entry);
	return run(vcpu, state);
}
