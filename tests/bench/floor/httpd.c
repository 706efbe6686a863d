/*
 * httpd.c - the least an HTTP server can do: one epoll loop, a fixed answer to
 * whatever ends with an empty line, keep-alive and pipelining.
 *
 * Runs in: tests.
 *
 * usage: httpd; prints its port on 127.0.0.1 and serves until stdin ends.  A
 * head that is cut between two reads within its "\r\n\r\n" is not counted: wrk
 * sends heads whole.
 */
#include "tests/bench/floor/floor.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS	  64
#define PIPELINED 32 /* answers per read at most */

static const char answer[] = "HTTP/1.1 200 OK\r\n"
			     "Content-Type: text/plain\r\n"
			     "Content-Length: 5\r\n\r\nhello";

static int
listener(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t length = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    listen(fd, 1024) != 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &length) != 0)
		floor_die("listen");
	(void)printf("%u\n", (unsigned)ntohs(at.sin_port));
	(void)fflush(stdout);
	return fd;
}

static void
watch(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		floor_die("epoll_ctl");
}

static void
welcome(int epoll, int listening)
{
	int one = 1, fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK);

	if (fd < 0)
		return;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	watch(epoll, fd);
}

static void
serve(int fd)
{
	char in[16384], out[PIPELINED * sizeof(answer)];
	ssize_t n = read(fd, in, sizeof(in));
	size_t length = 0;
	const char *at = in;

	if (n <= 0) {
		(void)close(fd);
		return;
	}
	while (
	    (at = memmem(at, (size_t)(in + n - at), "\r\n\r\n", 4)) != NULL &&
	    length + sizeof(answer) <= sizeof(out)) {
		memcpy(out + length, answer, sizeof(answer) - 1);
		length += sizeof(answer) - 1;
		at += 4;
	}
	if (length > 0 && write(fd, out, length) != (ssize_t)length)
		(void)close(fd);
}

int
main(void)
{
	struct epoll_event events[EVENTS];
	int epoll = epoll_create1(0), listening = listener();

	if (epoll < 0)
		floor_die("epoll_create1");
	watch(epoll, listening);
	watch(epoll, STDIN_FILENO);
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == STDIN_FILENO)
				return 0;
			if (events[i].data.fd == listening)
				welcome(epoll, listening);
			else
				serve(events[i].data.fd);
		}
	}
}
