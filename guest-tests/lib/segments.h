/* Selectors in the GDT of entry32.S and entry64.S. */
#ifndef GUEST_SEGMENTS_H
#define GUEST_SEGMENTS_H

#define SEL_CODE32	0x08
#define SEL_DATA	0x10
#define SEL_CODE64	0x18
#define SEL_USER_CODE32 0x23
#define SEL_USER_DATA	0x2b
#define SEL_USER_CODE64 0x33
#define SEL_CODE16	0x38
#define SEL_DATA16	0x40
#define SEL_TSS		0x48

#endif
