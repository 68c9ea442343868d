/*
 * console_io(cmd, count, buffer): the emergency console. Source: Xen, public/xen.h.
 */
#ifndef KEYHOLE_PUBLIC_CONSOLE_H
#define KEYHOLE_PUBLIC_CONSOLE_H

#define CONSOLEIO_write 0 /* count bytes at buffer are shown, each line with the guest's name */
/* up to count bytes of what was typed for the guest go to buffer; the result is how many */
#define CONSOLEIO_read 1

#endif
