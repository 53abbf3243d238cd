/* An instant OpenAI-compatible server for the benchmarks: one thread, epoll, keep-alive, no parsing
 * beyond what is needed.
 *
 * usage: instant_server PORT LATENCY_MS
 * Every POST is answered with a chat completion of as many choices as the body's "n" asks for (1 if
 * it has none), after LATENCY_MS. Every GET is answered 404. One write a reply; replies are made
 * once.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 64, ROOM = 1 << 16, CONNECTIONS = 4096 };

struct connection { char in[ROOM]; int filled; };
struct late { long long due; int fd, n; };

static struct connection *connections[CONNECTIONS];
static char *replies[MOST + 1];
static int lengths[MOST + 1];
static struct late *queue;
static unsigned head, tail, size = 1 << 16;
static const char not_found[] =
    "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

static long long now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void make_replies(void) {
    const char *choice =
        "{\"index\":%d,\"message\":{\"role\":\"assistant\",\"content\":"
        "\"I am Qwen, a large language model created by Alibaba Cloud. How can I help you today?\","
        "\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}";
    for (int n = 1; n <= MOST; n++) {
        char *body = malloc(512 + n * 300);
        int at = sprintf(
            body,
            "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1,"
            "\"model\":\"instant\",\"system_fingerprint\":\"fp_1\",\"choices\":[");
        for (int i = 0; i < n; i++) {
            if (i) body[at++] = ',';
            at += sprintf(body + at, choice, i);
        }
        at += sprintf(
            body + at,
            "],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":%d,\"total_tokens\":%d}}",
            19 * n, 19 * n + 12);
        replies[n] = malloc(at + 256);
        lengths[n] = sprintf(
            replies[n],
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
            at, body);
        free(body);
    }
}

static void answer(int fd, int n) {
    const char *text = n ? replies[n] : not_found;
    int length = n ? lengths[n] : (int)sizeof not_found - 1;
    for (int sent = 0; sent < length;) {
        ssize_t k = send(fd, text + sent, length - sent, MSG_NOSIGNAL);
        if (k < 0) { if (errno == EAGAIN) continue; return; }
        sent += k;
    }
}

static void done(int fd) { close(fd); free(connections[fd]); connections[fd] = NULL; }

static void readable(int fd, long long latency) {
    struct connection *c = connections[fd];
    ssize_t k = recv(fd, c->in + c->filled, ROOM - 1 - c->filled, 0);
    if (k <= 0) { if (k == 0 || errno != EAGAIN) done(fd); return; }
    c->filled += k;
    for (;;) {
        c->in[c->filled] = 0;
        char *end = strstr(c->in, "\r\n\r\n");
        if (!end) return;
        char *given = strcasestr(c->in, "content-length:");
        long body = given && given < end ? atol(given + 15) : 0;
        char *next = end + 4 + body;
        if (next > c->in + c->filled) { if (end + 4 + body > c->in + ROOM - 1) done(fd); return; }
        int n = 0;
        if (!strncmp(c->in, "POST", 4)) {
            char kept = *next;
            *next = 0;
            char *asked = strstr(end, "\"n\":");
            n = asked ? atoi(asked + 4) : 1;
            n = n < 1 ? 1 : n > MOST ? MOST : n;
            *next = kept;
        }
        if (latency) { queue[tail++ % size] = (struct late){now_us() + latency, fd, n}; }
        else answer(fd, n);
        memmove(c->in, next, c->in + c->filled - next);
        c->filled -= next - c->in;
    }
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: instant_server PORT LATENCY_MS\n"), 2;
    long long latency = atof(argv[2]) * 1000;
    make_replies();
    queue = calloc(size, sizeof *queue);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    int poll = epoll_create1(0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(atoi(argv[1])),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024))
        return perror("bind"), 1;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[256];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int wait = -1;
        if (head != tail) {
            long long left = queue[head % size].due - now_us();
            wait = left <= 0 ? 0 : (int)(left / 1000) + 1;
        }
        int k = epoll_wait(poll, events, 256, wait);
        for (int i = 0; i < k; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) { readable(fd, latency); continue; }
            while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                if (fd >= CONNECTIONS) { close(fd); continue; }
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                connections[fd] = calloc(1, sizeof(struct connection));
                struct epoll_event mine = {.events = EPOLLIN, .data.fd = fd};
                epoll_ctl(poll, EPOLL_CTL_ADD, fd, &mine);
            }
        }
        while (head != tail && queue[head % size].due <= now_us()) {
            struct late *l = &queue[head++ % size];
            if (connections[l->fd]) answer(l->fd, l->n);
        }
    }
}
