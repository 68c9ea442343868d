/*
 * L0's program for I/O ports of Bochs, for which Linux has no file.
 *
 *   port copy   copies standard input to the first parallel port, whose output Bochs appends to a
 *               file of the host. A serial port would cost a baud rate of emulated time per byte.
 *   port off    waits until the console has sent everything, then ends Bochs.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/io.h>
#include <termios.h>
#include <unistd.h>

#define LPT_DATA     0x378
#define LPT_CONTROL  0x37a
#define LPT_IDLE     0x0c /* select and initialise high, as between two characters */
#define LPT_STROBE   0x01
#define BOCHS_SWITCH 0x8900 /* Bochs ends when the letters of "Shutdown" come here */

static int copy(void)
{
	static unsigned char buf[4096];
	ssize_t n;

	outb(LPT_IDLE, LPT_CONTROL);
	while ((n = read(STDIN_FILENO, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			outb(buf[i], LPT_DATA);
			outb(LPT_IDLE | LPT_STROBE, LPT_CONTROL);
			outb(LPT_IDLE, LPT_CONTROL);
		}
	}
	return n < 0;
}

static int off(void)
{
	int console = open("/dev/ttyS0", O_WRONLY);

	if (console >= 0)
		tcdrain(console);
	for (const char *s = "Shutdown"; *s; s++)
		outb((unsigned char)*s, BOCHS_SWITCH);
	return 1; /* still here: not under Bochs */
}

int main(int argc, char **argv)
{
	if (argc != 2 || iopl(3) != 0)
		return 1;
	return strcmp(argv[1], "copy") == 0 ? copy() : off();
}
