/* The limit of the order round trip: HTTP on a Unix socket that answers every request at once, in C.
 *
 * usage: echo SOCKET      says `ready`; answers 200 with a fixed small body to whatever carries a Content-Length
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECTIONS 1024
#define SIZE 16384

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 8\r\n\r\n12345678";
static char buffers[CONNECTIONS][SIZE];
static size_t have[CONNECTIONS];

static void serve(int fd) {
    char *in = buffers[fd];
    ssize_t n = read(fd, in + have[fd], SIZE - 1 - have[fd]);
    if (n <= 0) {
        close(fd);
        have[fd] = 0;
        return;
    }
    have[fd] += (size_t)n;
    in[have[fd]] = 0;
    for (;;) {
        char *end = memmem(in, have[fd], "\r\n\r\n", 4);
        if (!end) return;
        char *length = strcasestr(in, "content-length:");
        size_t size = (size_t)(end - in) + 4 + (length ? strtoul(length + 15, NULL, 10) : 0);
        if (have[fd] < size) return;
        if (write(fd, answer, sizeof answer - 1) < 0) return;
        memmove(in, in + size, have[fd] - size);
        have[fd] -= size;
        in[have[fd]] = 0;
    }
}

int main(int argc, char **argv) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (argc != 2 || strlen(argv[1]) >= sizeof at.sun_path) return 2;
    strcpy(at.sun_path, argv[1]);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 64)) return 1;
    int poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, found[64];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(poll, found, 64, -1);
        for (int i = 0; i < count; i++) {
            int fd = found[i].data.fd;
            if (fd != listener) {
                serve(fd);
            } else if ((fd = accept(listener, NULL, NULL)) >= 0 && fd < CONNECTIONS) {
                event.data.fd = fd;
                epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
            }
        }
    }
}
