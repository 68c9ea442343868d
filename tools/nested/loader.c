/*
 * Loader of Linux (L0) inside Bochs: puts the blocks that the table names (the segments of an
 * uncompressed vmlinux, the initramfs) at their physical addresses and enters the kernel by its
 * PVH entry point. It uses bus-master DMA, which Bochs does with a copy on the host, and waits in
 * HLT, which Bochs skips: 100 MiB take about a second, where the BIOS would take minutes.
 *
 * It owns the whole machine: one CPU, no paging, interrupts only while it waits for the disk.
 * Sources: Bochs' PIIX3 IDE (function 1 of PCI device 1), the ATA command READ DMA,
 * Xen's public header arch-x86/hvm/start_info.h for the PVH start-of-day structures.
 */
#include <stdint.h>

#include "layout.h"

/* Block of the disk: whole sectors from `sector`, of which `bytes` count; zeroes to `size`. */
struct block {
	uint32_t addr, sector, bytes, size;
};

struct table {
	uint32_t magic, blocks, entry, initrd_bytes;
	struct block block[TABLE_BLOCKS];
};
_Static_assert(sizeof(struct table) <= SECTOR_BYTES, "the table has one sector");

#define TABLE	((const struct table *)(LOADER_ADDR + LOADER_SECTORS * SECTOR_BYTES))
#define CMDLINE (LOADER_ADDR + (LOADER_SECTORS + 1) * SECTOR_BYTES)

#define START_INFO_MAGIC 0x336ec578
struct start_info {
	uint32_t magic, version, flags, modules;
	uint64_t module_addr, cmdline_addr, rsdp_addr, memmap_addr;
	uint32_t memmap_entries, reserved;
};
struct start_module {
	uint64_t addr, bytes, cmdline_addr, reserved;
};

#define COM1	     0x3f8
#define COM1_LSR     (COM1 + 5)
#define LSR_THRE     0x20
#define PCI_ADDRESS  0xcf8
#define PCI_DATA     0xcfc
#define PCI_IDE	     0x80000900 /* bus 0, device 1, function 1 */
#define PCI_COMMAND  0x04
#define PCI_BAR4     0x20
#define ATA	     0x1f0
#define ATA_STATUS   (ATA + 7)
#define ATA_ERR	     0x01
#define READ_DMA     0xc8
#define BM_STATUS    2 /* offsets from the bus-master base */
#define BM_TABLE     4
#define BM_START     0x01
#define BM_TO_RAM    0x08
#define BM_ERROR     0x02
#define BM_IRQ	     0x04
#define VECTOR_IRQ14 0x76 /* the BIOS left IRQ 8 at vector 0x70 */

/* One command reads at most 256 sectors, that is at most three regions cut at 64 KiB. */
#define SECTORS_MAX  256
#define REGION_BYTES 0x10000
#define PRD_LAST     0x80000000

static inline void outb(uint16_t port, uint8_t v)
{
	asm volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline void outl(uint16_t port, uint32_t v)
{
	asm volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t v;

	asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static void print(const char *s)
{
	for (; *s; s++) {
		while (!(inb(COM1_LSR) & LSR_THRE))
			;
		outb(COM1, (uint8_t)*s);
	}
}

static _Noreturn void die(const char *why)
{
	print("loader: FAILED: ");
	print(why);
	print("\r\n");
	for (;;)
		asm volatile("cli; hlt");
}

/* The only interrupt: acknowledge both PICs, so that HLT returns. */
extern const char irq14_entry[];
asm("irq14_entry: pushl %eax; movb $0x20, %al; outb %al, $0xa0; outb %al, $0x20; popl %eax; iret");

static void irq_init(void)
{
	static uint32_t idt[VECTOR_IRQ14 + 1][2] __attribute__((aligned(8)));
	struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) pointer = {sizeof(idt) - 1, (uint32_t)idt};
	uint32_t entry = (uint32_t)irq14_entry;

	idt[VECTOR_IRQ14][0] = 0x08 << 16 | (entry & 0xffff);
	idt[VECTOR_IRQ14][1] = (entry & 0xffff0000) | 0x8e00; /* present, 32-bit interrupt gate */
	asm volatile("lidt %0" : : "m"(pointer), "m"(idt));
	outb(0x21, 0xfb); /* only the cascade ... */
	outb(0xa1, 0xbf); /* ... and IRQ 14 */
}

/* Returns the I/O base of the bus-master registers, with the function made a bus master. */
static uint16_t bus_master_init(void)
{
	uint16_t base;

	outl(PCI_ADDRESS, PCI_IDE | PCI_COMMAND);
	outl(PCI_DATA, (inl(PCI_DATA) & 0xffff) | 0x5);
	outl(PCI_ADDRESS, PCI_IDE | PCI_BAR4);
	base = (uint16_t)(inl(PCI_DATA) & 0xfff0);
	if (!base)
		die("the IDE controller has no bus-master registers");
	return base;
}

/* Reads `sectors` sectors from `sector` on to `addr`, which is even. */
static void disk_read(uint16_t bm, uint32_t sector, uint32_t sectors, uint32_t addr)
{
	/* Physical region descriptors: address, and bytes with 0 for 64 KiB. Aligned so that the
	 * table does not cross a 64 KiB boundary. */
	static uint32_t prd[4][2] __attribute__((aligned(32)));

	while (sectors) {
		uint32_t count = sectors > SECTORS_MAX ? SECTORS_MAX : sectors;
		uint32_t left = count * SECTOR_BYTES;
		unsigned int i;

		for (i = 0; left; i++) {
			uint32_t bytes = REGION_BYTES - addr % REGION_BYTES;

			if (bytes > left)
				bytes = left;
			prd[i][0] = addr;
			prd[i][1] = bytes % REGION_BYTES;
			addr += bytes;
			left -= bytes;
		}
		prd[i - 1][1] |= PRD_LAST;

		outb(ATA + 6, (uint8_t)(0xe0 | sector >> 24));
		outb(ATA + 2, (uint8_t)count); /* 0 means 256 */
		outb(ATA + 3, (uint8_t)sector);
		outb(ATA + 4, (uint8_t)(sector >> 8));
		outb(ATA + 5, (uint8_t)(sector >> 16));
		outb(bm, 0);
		outb(bm + BM_STATUS, BM_ERROR | BM_IRQ); /* write 1 to clear */
		asm volatile("" : : "m"(prd));
		outl(bm + BM_TABLE, (uint32_t)prd);
		outb(ATA_STATUS, READ_DMA);
		outb(bm, BM_TO_RAM | BM_START);
		/* STI takes effect after the HLT, so that no interrupt falls between the two. */
		while (!(inb(bm + BM_STATUS) & (BM_ERROR | BM_IRQ)))
			asm volatile("sti; hlt; cli" : : : "memory");
		if (inb(bm + BM_STATUS) & BM_ERROR)
			die("DMA error");
		outb(bm, 0);
		if (inb(ATA_STATUS) & ATA_ERR)
			die("disk error");
		sector += count;
		sectors -= count;
	}
}

__attribute__((section(".text.start"))) _Noreturn void loader_start(void);

/* Entered by boot.S with flat segments, interrupts off, a stack below 0x7c00. */
_Noreturn void loader_start(void)
{
	static struct start_info info;
	static struct start_module initrd;
	const struct table *t = TABLE;
	uint16_t bm;

	outb(COM1 + 3, 0x83); /* 115200 baud, 8N1 */
	outb(COM1, 1);
	outb(COM1 + 1, 0);
	outb(COM1 + 3, 0x03);
	print("loader: started\r\n");
	if (t->magic != TABLE_MAGIC || t->blocks > TABLE_BLOCKS)
		die("no table of blocks");
	bm = bus_master_init();
	irq_init();
	for (uint32_t i = 0; i < t->blocks; i++) {
		const struct block *b = &t->block[i];
		uint32_t end = b->addr + b->bytes, zeroes = b->size - b->bytes;

		disk_read(bm, b->sector, (b->bytes + SECTOR_BYTES - 1) / SECTOR_BYTES, b->addr);
		asm volatile("rep stosb" : "+D"(end), "+c"(zeroes) : "a"(0) : "memory");
	}
	outb(0x21, 0xff);
	outb(0xa1, 0xff);

	initrd = (struct start_module){.addr = INITRD_ADDR, .bytes = t->initrd_bytes};
	info = (struct start_info){
	    .magic = START_INFO_MAGIC,
	    .version = 1,
	    .modules = 1,
	    .module_addr = (uint32_t)&initrd,
	    .cmdline_addr = CMDLINE,
	    .memmap_addr = E820_ADDR,
	    .memmap_entries = *(const volatile uint32_t *)E820_COUNT_ADDR,
	};
	print("loader: done\r\n");
	asm volatile("cli; jmp *%0" : : "r"(t->entry), "b"(&info) : "memory");
	__builtin_unreachable();
}
