/* The serial ports COM1 and COM2. drivers/uart.c. */
#ifndef KEYHOLE_DRIVERS_UART_H
#define KEYHOLE_DRIVERS_UART_H

#include "types.h"

enum uart { UART_COM1, UART_COM2, UART_COUNT };

bool uart_init(enum uart which);
void uart_write(enum uart which, const char *text, size_t length);
/* Characters that uart_write() takes without waiting: 0 while the line is busy; no port takes any
 * number. One that has been busy for long loses them. */
unsigned uart_room(enum uart which);
void uart_drain(enum uart which);
/* Receiving: the CPU that gets the interrupt, alone. */
#define UART_IRQ_COM1 4u
#define UART_IRQ_COM2 3u
bool uart_receive_on(enum uart which) must_use;
bool uart_receive(enum uart which, char *c) must_use;
void uart_receive_later(enum uart which);
/* Once receiving is on: whether an interrupt shall say that the line has room. */
void uart_tell_room(enum uart which, bool on);

#endif
