/* The serial ports COM1 and COM2. drivers/uart.c. */
#ifndef KEYHOLE_DRIVERS_UART_H
#define KEYHOLE_DRIVERS_UART_H

#include "types.h"

enum uart { UART_COM1, UART_COM2, UART_COUNT };

bool uart_init(enum uart which);
void uart_write(enum uart which, const char *text, size_t length);
void uart_drain(enum uart which);

#endif
