/* client: an MQTT client's end of a connection on the loopback interface, for the load
 * generators mqttload.c and mqttcrowd.c: sockets, buffers, the packets that they send, and the
 * beginnings of those that they read. Versions 3.1.1 (4) and 5.0 (5). Linux only (epoll).
 *
 * What a broker may not do ends the program at once, with a line on stderr and status 1. */
#define _GNU_SOURCE
#pragma GCC diagnostic ignored "-Wunused-function" /* each program uses a part of it */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  CONNECT = 0x10, CONNACK = 0x20, PUBLISH = 0x30, PUBACK = 0x40, PUBREC = 0x50, PUBREL = 0x62,
  PUBCOMP = 0x70, SUBSCRIBE = 0x82, SUBACK = 0x90, DISCONNECT = 0xe0,
  RETAIN = 0x01, DUP = 0x08,
  EVENTS = 512,          /* epoll events taken at a time */
  POLL_MS = 20,          /* a broker that says nothing still lets the clock be read */
  READ_BYTES = 1 << 17,
  STEPS = 128,           /* histogram steps per power of two: under 0.8 % wide */
  BUCKETS = 58 * STEPS,  /* enough for any 64-bit number of nanoseconds */
  HOSTS = 200            /* addresses that clients come from, so that their ports suffice */
};

/* ---- small things ---- */

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(1);
}

static void die(const char *what) { fail("%s: %s", what, strerror(errno)); }

static void *allocate(size_t count, size_t size) {
  void *memory = calloc(count, size);
  if (!memory) die("calloc");
  return memory;
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t nanoseconds(double seconds) { return (uint64_t)(seconds * 1e9); }

static double number(const char *text, double least, double most) {
  char *end;
  double value = strtod(text, &end);
  if (*text && !*end && value >= least && value <= most) return value;
  fprintf(stderr, "%s: a number from %g to %g was expected\n", text, least, most);
  exit(2);
}

/* ---- durations: a histogram, so that no sample is ever left out ---- */

struct durations {
  uint64_t count, most, bucket[BUCKETS];
};

static void note_duration(struct durations *durations, uint64_t ns) {
  unsigned bucket = (unsigned)ns;
  if (ns >= STEPS) {
    unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - 7; /* 2^7 == STEPS */
    bucket = shift * STEPS + (unsigned)(ns >> shift);
  }
  durations->bucket[bucket]++;
  durations->count++;
  if (ns > durations->most) durations->most = ns;
}

static double middle_of(unsigned bucket) {
  if (bucket < 2 * STEPS) return bucket;
  unsigned shift = bucket / STEPS - 1;
  return ((double)(bucket % STEPS + STEPS) + 0.5) * (double)(1ull << shift);
}

static double percentile_us(const struct durations *durations, double share) {
  uint64_t wanted = (uint64_t)((double)durations->count * share), seen = 0;
  for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
    seen += durations->bucket[bucket];
    if (seen > wanted) return middle_of(bucket) / 1e3;
  }
  return (double)durations->most / 1e3;
}

static void print_durations(const struct durations *durations) {
  printf("\"p50_us\": %.0f, \"p90_us\": %.0f, \"p99_us\": %.0f, \"p999_us\": %.0f, \"max_us\": %.0f",
         percentile_us(durations, .5), percentile_us(durations, .9), percentile_us(durations, .99),
         percentile_us(durations, .999), (double)durations->most / 1e3);
}

/* ---- bytes that wait ---- */

struct bytes {
  uint8_t *data;
  size_t start, end, capacity; /* what waits is from start to end */
};

/* Room for so many bytes behind the end. */
static uint8_t *room(struct bytes *bytes, size_t count) {
  if (bytes->capacity - bytes->end >= count) return bytes->data + bytes->end;
  memmove(bytes->data, bytes->data + bytes->start, bytes->end - bytes->start);
  bytes->end -= bytes->start;
  bytes->start = 0;
  if (bytes->capacity - bytes->end < count) {
    while (bytes->capacity - bytes->end < count)
      bytes->capacity = bytes->capacity ? bytes->capacity * 2 : 512;
    bytes->data = realloc(bytes->data, bytes->capacity);
    if (!bytes->data) die("realloc");
  }
  return bytes->data + bytes->end;
}

/* ---- packets that are sent ---- */

static uint8_t *put_length(uint8_t *to, size_t length) {
  do {
    uint8_t low = length & 127;
    length >>= 7;
    *to++ = length ? low | 128 : low;
  } while (length);
  return to;
}

static uint8_t *put_word(uint8_t *to, unsigned word) {
  *to++ = (uint8_t)(word >> 8);
  *to++ = (uint8_t)word;
  return to;
}

static uint8_t *put_text(uint8_t *to, const char *text, size_t length) {
  to = put_word(to, (unsigned)length);
  memcpy(to, text, length);
  return to + length;
}

/* Seconds, from $KEEP_ALIVE: none, unless a broker refuses who has none. */
static unsigned keep_alive(void) {
  const char *told = getenv("KEEP_ALIVE");
  return told ? (unsigned)number(told, 0, 65535) : 0;
}

static void put_connect(struct bytes *out, int version, const char *client_id) {
  size_t length = strlen(client_id);
  uint8_t *to = room(out, length + 32);
  *to++ = CONNECT;
  to = put_length(to, 10 + (version == 5) + 2 + length);
  to = put_text(to, "MQTT", 4);
  *to++ = (uint8_t)version;
  *to++ = 2; /* clean session, clean start */
  to = put_word(to, keep_alive());
  if (version == 5) *to++ = 0; /* no properties */
  to = put_text(to, client_id, length);
  out->end = (size_t)(to - out->data);
}

/* The topic and the payload of a PUBLISH; packet_id counts with QoS 1 and 2 only. */
static void put_publish(struct bytes *out, int version, int flags, unsigned packet_id,
                        const char *topic, size_t topic_length, const void *payload, size_t size) {
  int identified = (flags & 6) != 0;
  size_t rest = 2 + topic_length + (identified ? 2 : 0) + (version == 5) + size;
  uint8_t *to = room(out, rest + 8);
  *to++ = (uint8_t)(PUBLISH | flags);
  to = put_length(to, rest);
  to = put_text(to, topic, topic_length);
  if (identified) to = put_word(to, packet_id);
  if (version == 5) *to++ = 0;
  memcpy(to, payload, size);
  out->end = (size_t)(to + size - out->data);
}

static void put_answer(struct bytes *out, uint8_t type, unsigned packet_id) {
  uint8_t *to = room(out, 4);
  *to++ = type;
  *to++ = 2;
  to = put_word(to, packet_id);
  out->end = (size_t)(to - out->data);
}

/* One SUBSCRIBE: its filters are given as they stand in it, each with its length and options. */
static void put_subscribe(struct bytes *out, int version, unsigned packet_id,
                          const uint8_t *filters, size_t length) {
  uint8_t *to = room(out, length + 16);
  *to++ = SUBSCRIBE;
  to = put_length(to, 2 + (version == 5) + length);
  to = put_word(to, packet_id);
  if (version == 5) *to++ = 0;
  memcpy(to, filters, length);
  out->end = (size_t)(to + length - out->data);
}

/* ---- packets that are read ---- */

struct packet {
  uint8_t first;
  const uint8_t *body;
  size_t size;
};

/* Take one whole packet from what has come; 0: there is none yet. */
static int next_packet(struct bytes *in, struct packet *packet) {
  size_t at = in->start + 1, size = 0, shift = 0;
  for (;; at++, shift += 7) {
    if (at >= in->end) return 0;
    size |= (size_t)(in->data[at] & 127) << shift;
    if (in->data[at] < 128) break;
    if (shift == 21) fail("a packet's length has more than four bytes");
  }
  at++;
  if (in->end - at < size) return 0;
  *packet = (struct packet){in->data[in->start], in->data + at, size};
  in->start = at + size;
  return 1;
}

/* Move over a variable byte integer; its value. */
static size_t take_length(const uint8_t **at, const uint8_t *end) {
  size_t value = 0;
  for (unsigned shift = 0; *at < end; shift += 7) {
    uint8_t byte = *(*at)++;
    value |= (size_t)(byte & 127) << shift;
    if (byte < 128) return value;
  }
  fail("a packet ends inside a length");
  return 0;
}

static unsigned word_at(const uint8_t *at) { return (unsigned)at[0] << 8 | at[1]; }

struct message {
  int flags, qos;
  unsigned packet_id;
  const uint8_t *payload;
  size_t size;
};

static struct message message_of(const struct packet *packet, int version) {
  struct message message = {.flags = packet->first & 15, .qos = packet->first >> 1 & 3};
  const uint8_t *at = packet->body, *end = at + packet->size;
  if (packet->size < 2) fail("a PUBLISH of %zu bytes", packet->size);
  at += 2 + word_at(at);
  if (message.qos) {
    if (end - at < 2) fail("a PUBLISH ends before its packet identifier");
    message.packet_id = word_at(at);
    at += 2;
  }
  if (version == 5) {
    size_t properties = take_length(&at, end);
    if ((size_t)(end - at) < properties) fail("a PUBLISH ends inside its properties");
    at += properties;
  }
  if (at > end) fail("a PUBLISH ends inside its topic");
  message.payload = at;
  message.size = (size_t)(end - at);
  return message;
}

/* How many publications a broker takes that are not acknowledged: Receive Maximum of 5.0. */
static unsigned receive_maximum(const struct packet *connack, int version) {
  if (version != 5 || connack->size < 3) return 65535;
  const uint8_t *at = connack->body + 2, *end = connack->body + connack->size;
  size_t length = take_length(&at, end);
  if ((size_t)(end - at) < length) fail("a CONNACK ends inside its properties");
  for (end = at + length; at < end;) {
    uint8_t id = *at++;
    if (id == 0x21) return word_at(at);
    switch (id) {
    case 0x24: case 0x25: case 0x28: case 0x29: case 0x2a: at += 1; break;
    case 0x13: case 0x22: at += 2; break;
    case 0x11: case 0x27: at += 4; break;
    case 0x26: at += 2 + word_at(at); at += 2 + word_at(at); break;
    default: at += 2 + word_at(at); /* text and binary data */
    }
  }
  return 65535;
}

/* ---- connections ---- */

struct connection {
  int fd;
  struct bytes in, out;
};

/* A socket that is connecting or connected. With many clients they come from several addresses,
 * else there would not be a port for each. */
static int open_socket(int port, unsigned number, int flags) {
  struct sockaddr_in own = {.sin_family = AF_INET}, broker = {.sin_family = AF_INET};
  int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  if (fd < 0) die("socket");
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK + number % HOSTS);
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&own, sizeof own)) die("bind");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  broker.sin_port = htons((uint16_t)port);
  broker.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, (struct sockaddr *)&broker, sizeof broker) && errno != EINPROGRESS) die("connect");
  return fd;
}

/* Send what the kernel takes; what is left waits for EPOLLOUT. */
static void flush(struct connection *connection) {
  struct bytes *out = &connection->out;
  while (out->start < out->end) {
    ssize_t sent = send(connection->fd, out->data + out->start, out->end - out->start, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) fail("a connection broke: %s", strerror(errno));
    out->start += (size_t)sent;
  }
  out->start = out->end = 0;
}

/* Read what has come; whether there may be more. 0 also when there is nothing. */
static int receive(struct connection *connection) {
  struct bytes *in = &connection->in;
  if (in->start == in->end) in->start = in->end = 0;
  uint8_t *to = room(in, READ_BYTES);
  ssize_t count;
  do count = recv(connection->fd, to, READ_BYTES, 0);
  while (count < 0 && errno == EINTR);
  if (count < 0 && errno == EAGAIN) return 0;
  if (count < 0) fail("a connection broke: %s", strerror(errno));
  if (count == 0) fail("the broker closed a connection");
  in->end += (size_t)count;
  return count == READ_BYTES; /* a short read emptied the socket: epoll(7), question 9 */
}

static const char *packet_name(uint8_t first) {
  static const char *const names[] = {"0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC",
    "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP",
    "DISCONNECT", "AUTH"};
  return names[first >> 4];
}

static void unexpected(const struct packet *packet, const char *wanted) {
  if ((packet->first & 0xf0) == DISCONNECT)
    fail("the broker disconnected a client, reason 0x%02x", packet->size ? packet->body[0] : 0);
  fail("%s came where %s was expected", packet_name(packet->first), wanted);
}

/* On a socket that blocks: send what waits, and the next packet, which is of this type. */
static struct packet answered(struct connection *connection, uint8_t type) {
  struct packet packet;
  flush(connection);
  while (!next_packet(&connection->in, &packet)) receive(connection);
  if ((packet.first & 0xf0) != (type & 0xf0)) unexpected(&packet, packet_name(type));
  return packet;
}

static void check_connack(const struct packet *packet) {
  if (packet->size < 2 || packet->body[1]) fail("refused with CONNACK 0x%02x", packet->body[1]);
}

static void check_suback(const struct packet *packet, int version) {
  const uint8_t *at = packet->body + 2, *end = packet->body + packet->size;
  if (version == 5) at += take_length(&at, end);
  for (; at < end; at++)
    if (*at > 2) fail("a subscription was refused with 0x%02x", *at);
}

static void watch(int epoll, int fd, uint32_t number) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = number};
  if (fcntl(fd, F_SETFL, O_NONBLOCK)) die("fcntl");
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
}
