/* The limit of the fan-out: the same frames in, the same lines out to N pipes, in C, and nothing else.
 *
 * usage: relay PORT FD...      reads a websocket of msgpack batches of trades at 127.0.0.1:PORT,
 *                              writes the JSON line of each to every FD, one write per pipe for what one read brought.
 * It bounds nothing, conflates nothing, and waits for a full pipe: it is a measure, not a peer.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static unsigned char in[1 << 22];
static char out[1 << 23];

static void fail(const char *what) {
    fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void write_all(int fd, const char *data, size_t size) {
    while (size) {
        ssize_t n = write(fd, data, size);
        if (n < 0) fail("write");
        data += n;
        size -= (size_t)n;
    }
}

/* --- msgpack, as much as a trade needs --- */

typedef struct {
    const char *text;
    uint32_t size;
    double number;
    uint64_t whole;
    int is_whole;
    uint64_t seconds;
    uint32_t nanoseconds;
} Value;

static uint64_t big(const unsigned char *p, int n) {
    uint64_t v = 0;
    while (n--) v = v << 8 | *p++;
    return v;
}

static const unsigned char *value(const unsigned char *p, Value *v);

static const unsigned char *several(const unsigned char *p, uint64_t count) {
    Value ignored;
    while (count--) p = value(p, &ignored);
    return p;
}

static const unsigned char *text(const unsigned char *p, uint32_t size, Value *v) {
    v->text = (const char *)p;
    v->size = size;
    return p + size;
}

static const unsigned char *whole(uint64_t n, Value *v, const unsigned char *p) {
    v->whole = n;
    v->is_whole = 1;
    return p;
}

static const unsigned char *value(const unsigned char *p, Value *v) {
    unsigned char tag = *p++;
    if (tag < 0x80) return whole(tag, v, p);
    if (tag < 0x90) return several(p, 2u * (tag & 15));
    if (tag < 0xa0) return several(p, tag & 15);
    if (tag < 0xc0) return text(p, tag & 31, v);
    switch (tag) {
    case 0xc0: case 0xc2: case 0xc3: return p;
    case 0xcb: {
        uint64_t bits = big(p, 8);
        memcpy(&v->number, &bits, 8);
        v->is_whole = 0;
        return p + 8;
    }
    case 0xcc: return whole(*p, v, p + 1);
    case 0xcd: return whole(big(p, 2), v, p + 2);
    case 0xce: return whole(big(p, 4), v, p + 4);
    case 0xcf: return whole(big(p, 8), v, p + 8);
    case 0xd6: /* timestamp 32 */
        v->seconds = big(p + 1, 4);
        v->nanoseconds = 0;
        return p + 5;
    case 0xd7: { /* timestamp 64 */
        uint64_t both = big(p + 1, 8);
        v->seconds = both & 0x3ffffffffULL;
        v->nanoseconds = (uint32_t)(both >> 34);
        return p + 9;
    }
    case 0xd9: return text(p + 1, p[0], v);
    case 0xda: return text(p + 2, (uint32_t)big(p, 2), v);
    case 0xdc: return several(p + 2, big(p, 2));
    case 0xde: return several(p + 2, 2 * big(p, 2));
    }
    fprintf(stderr, "relay: msgpack tag %02x is not in a trade\n", tag);
    exit(1);
}

/* --- a line --- */

static int number(char *at, const Value *v) {
    if (v->is_whole) return sprintf(at, "%llu", (unsigned long long)v->whole);
    int n = sprintf(at, "%.15g", v->number);
    if (strtod(at, NULL) != v->number) n = sprintf(at, "%.17g", v->number);
    return n;
}

static int stamp(char *at, const Value *v) {
    static uint64_t known = (uint64_t)-1;
    static char day[32];
    if (v->seconds != known) {
        time_t t = (time_t)v->seconds;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
        known = v->seconds;
    }
    int n = sprintf(at, "%s", day);
    if (v->nanoseconds) {
        n += sprintf(at + n, ".%09u", v->nanoseconds);
        while (at[n - 1] == '0') n--;
    }
    at[n++] = 'Z';
    return n;
}

static const unsigned char *line(const unsigned char *p, char **at) {
    uint64_t fields;
    if ((*p & 0xf0) == 0x80) fields = *p++ & 15;
    else fields = big(p + 1, 2), p += 3;
    Value kind = {0}, symbol = {0}, price = {0}, size = {0}, when = {0};
    while (fields--) {
        Value key = {0}, other = {0}, *into = &other;
        p = value(p, &key);
        switch (key.text[0]) {
        case 'T': into = &kind; break;
        case 'S': into = &symbol; break;
        case 'p': into = &price; break;
        case 's': into = &size; break;
        case 't': into = &when; break;
        }
        p = value(p, into);
    }
    if (kind.size != 1 || kind.text[0] != 't') return p;
    char *o = *at;
    o += sprintf(o, "{\"type\":\"trade\",\"symbol\":\"%.*s\",\"price\":", (int)symbol.size, symbol.text);
    o += number(o, &price);
    o += sprintf(o, ",\"size\":");
    o += number(o, &size);
    o += sprintf(o, ",\"timestamp\":\"");
    o += stamp(o, &when);
    o += sprintf(o, "\"}\n");
    *at = o;
    return p;
}

static void frame(const unsigned char *p, char **at) {
    uint64_t count;
    if ((*p & 0xf0) == 0x90) count = *p++ & 15;
    else count = big(p + 1, 2), p += 3;
    while (count--) p = line(p, at);
}

/* --- the websocket --- */

static void say(int s, const char *json) { /* one masked text frame; a mask of zeros */
    unsigned char f[256] = {0x81, (unsigned char)(0x80 | strlen(json))};
    memcpy(f + 6, json, strlen(json));
    write_all(s, (char *)f, 6 + strlen(json));
}

int main(int argc, char **argv) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(s, (struct sockaddr *)&to, sizeof to)) fail("connect");
    const char *hello = "GET /v2/iex HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                        "Content-Type: application/msgpack\r\n\r\n";
    write_all(s, hello, strlen(hello));
    say(s, "{\"action\":\"auth\",\"key\":\"k\",\"secret\":\"s\"}");
    say(s, "{\"action\":\"subscribe\",\"trades\":[]}");

    size_t have = 0;
    int is_open = 0;
    for (;;) {
        ssize_t n = read(s, in + have, sizeof in - have);
        if (n <= 0) return 0;
        have += (size_t)n;
        size_t done = 0;
        if (!is_open) {
            unsigned char *end = memmem(in, have, "\r\n\r\n", 4);
            if (!end) continue;
            done = (size_t)(end - in) + 4;
            is_open = 1;
        }
        char *at = out;
        while (have - done >= 2) {
            const unsigned char *p = in + done;
            uint64_t size = p[1] & 127;
            size_t head = 2;
            if (size == 126) head = 4;
            if (size == 127) head = 10;
            if (have - done < head) break;
            if (head > 2) size = big(p + 2, (int)head - 2);
            if (have - done < head + size) break;
            if ((p[0] & 15) == 8) return 0;
            if ((p[0] & 15) == 2) frame(p + head, &at);
            done += head + size;
            if (at - out > (1 << 22)) break;
        }
        for (int i = 2; at > out && i < argc; i++) write_all(atoi(argv[i]), out, (size_t)(at - out));
        memmove(in, in + done, have - done);
        have -= done;
    }
}
