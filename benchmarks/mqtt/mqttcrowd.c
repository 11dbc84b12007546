/* mqttcrowd: many clients, subscriptions or retained messages, for an MQTT broker on the loopback
 * interface.
 *
 *   mqttcrowd PORT storm CONNECTIONS AT_ONCE VERSION [RATE]
 *       Connect, CONNECT, CONNACK, DISCONNECT, close: so often, so many at a time at most, and with
 *       a RATE so many a second.
 *   mqttcrowd PORT idle CONNECTIONS FILTERS VERSION
 *       Connections that say nothing more; then each subscribes to so many filters of its own.
 *   mqttcrowd PORT subscriptions CLIENTS FILTERS VERSION
 *       So many clients with so many filters each; then messages, each to one subscriber.
 *   mqttcrowd PORT retained MESSAGES SUBSCRIBERS VERSION
 *       Messages to retain; then subscribers of all of them, one after another.
 *
 * VERSION is 4 (3.1.1) or 5. Each stage ends with a line of JSON on stdout, and the next begins
 * when a line has come on stdin: meanwhile somebody may look how much memory the broker has.
 * Every message is checked. What is refused, lost or wrong is status 1. */
#include "client.h"

enum {
  FILTERS_A_PACKET = 200,
  MESSAGES = 20000, /* that are published among the subscriptions */
  WINDOW = 16,      /* messages on their way: below every broker's Receive Maximum */
  SIZE = 64,
  PATIENCE = 60     /* seconds in which a stage must go on */
};

static int port, version;
static double rate; /* visitors a second; 0: as many as can be */

static double seconds_since(uint64_t start) { return (double)(now_ns() - start + 1) / 1e9; }

static void end_stage(void) {
  puts("}");
  fflush(stdout);
}

static void await_next_stage(void) {
  end_stage();
  if (getchar() == EOF) exit(0);
}

static void begin(struct connection *connection, unsigned number) {
  char client_id[32];
  struct timeval patience = {.tv_sec = PATIENCE};
  snprintf(client_id, sizeof client_id, "crowd-%u", number);
  connection->fd = open_socket(port, number, 0);
  setsockopt(connection->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  put_connect(&connection->out, version, client_id);
  struct packet packet = answered(connection, CONNACK);
  check_connack(&packet);
}

/* Connect them one after another, and tell how long that took each. */
static struct connection *begin_all(unsigned count) {
  static struct durations durations;
  struct connection *connections = allocate(count, sizeof *connections);
  uint64_t start = now_ns();
  for (unsigned i = 0; i < count; i++) {
    uint64_t began = now_ns();
    begin(&connections[i], i);
    note_duration(&durations, now_ns() - began);
  }
  printf("{\"connects_per_s\": %.0f, ", count / seconds_since(start));
  print_durations(&durations);
  return connections;
}

/* On a socket that blocks: wait for a packet. */
static void wait_packet(struct connection *connection, struct packet *packet) {
  while (!next_packet(&connection->in, packet)) {
    size_t before = connection->in.end - connection->in.start;
    receive(connection);
    if (connection->in.end - connection->in.start == before)
      fail("nothing came for %d seconds", PATIENCE);
  }
}

/* ---- storm ---- */

struct visitor {
  struct connection connection;
  uint64_t started;
  int greeted; /* CONNECT was sent */
};

static void enter(int epoll, struct visitor *visitor, unsigned slot, unsigned number) {
  char client_id[32];
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = slot};
  snprintf(client_id, sizeof client_id, "storm-%u", number);
  visitor->started = now_ns();
  visitor->greeted = 0;
  visitor->connection.in.start = visitor->connection.in.end = 0;
  visitor->connection.out.start = visitor->connection.out.end = 0;
  visitor->connection.fd = open_socket(port, number, SOCK_NONBLOCK);
  put_connect(&visitor->connection.out, version, client_id);
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, visitor->connection.fd, &event)) die("epoll_ctl");
}

static void leave(struct visitor *visitor) {
  static const uint8_t goodbye[] = {DISCONNECT, 0};
  if (send(visitor->connection.fd, goodbye, sizeof goodbye, MSG_NOSIGNAL) < 0) die("send");
  close(visitor->connection.fd);
}

/* Whether the visitor has been answered. */
static int went_on(struct visitor *visitor, uint32_t events) {
  struct packet packet;
  if (!visitor->greeted && events & (EPOLLOUT | EPOLLERR)) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(visitor->connection.fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) fail("connect: %s", strerror(error));
    flush(&visitor->connection);
    visitor->greeted = 1;
  }
  if (!(events & EPOLLIN)) return 0;
  receive(&visitor->connection);
  if (!next_packet(&visitor->connection.in, &packet)) return 0;
  if (packet.first != CONNACK) unexpected(&packet, "CONNACK");
  check_connack(&packet);
  return 1;
}

static int due(unsigned visitors, uint64_t start) {
  return rate == 0 || visitors <= seconds_since(start) * rate;
}

static void storm(unsigned connections, unsigned at_once) {
  static struct durations durations;
  struct visitor *visitors = allocate(at_once, sizeof *visitors);
  unsigned *slots = allocate(at_once, sizeof *slots), empty = at_once, begun = 0, done = 0;
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  uint64_t start = now_ns(), moved = start;
  for (unsigned i = 0; i < at_once; i++) slots[i] = i;
  while (done < connections) {
    struct epoll_event events[EVENTS];
    for (; empty && begun < connections && due(begun, start); begun++) {
      empty--;
      enter(epoll, &visitors[slots[empty]], slots[empty], begun);
    }
    int count = epoll_wait(epoll, events, EVENTS, rate > 0 ? 1 : 1000);
    if (count > 0 || empty == at_once) moved = now_ns();
    else if (now_ns() > moved + nanoseconds(PATIENCE / 6.)) fail("no answer to CONNECT");
    for (int i = 0; i < count; i++) {
      struct visitor *visitor = &visitors[events[i].data.u32];
      if (!went_on(visitor, events[i].events)) continue;
      note_duration(&durations, now_ns() - visitor->started);
      leave(visitor);
      slots[empty++] = events[i].data.u32;
      done++;
    }
  }
  printf("{\"connects_per_s\": %.0f, ", connections / seconds_since(start));
  print_durations(&durations);
  end_stage();
}

/* ---- subscribing ---- */

static int filter_of(char *filter, size_t size, unsigned client, unsigned number) {
  return snprintf(filter, size, "site/%u/line/%u/heat", client, number);
}

/* Subscribe a client to `count` filters of its own. */
static void subscribe_many(struct connection *connection, unsigned client, unsigned count) {
  static uint8_t given[FILTERS_A_PACKET * 64];
  for (unsigned done = 0, id = 1; done < count; id++) {
    uint8_t *end = given;
    for (unsigned i = 0; i < FILTERS_A_PACKET && done < count; i++, done++) {
      char filter[56];
      end = put_text(end, filter, (size_t)filter_of(filter, sizeof filter, client, done));
      *end++ = 0;
    }
    put_subscribe(&connection->out, version, id, given, (size_t)(end - given));
    struct packet packet = answered(connection, SUBACK);
    check_suback(&packet, version);
  }
}

static void idle(unsigned connections, unsigned filters) {
  struct connection *connection = begin_all(connections);
  await_next_stage();
  for (unsigned i = 0; i < connections; i++) subscribe_many(&connection[i], i, filters);
  printf("{\"subscribed\": %u", connections * filters);
  await_next_stage();
}

/* ---- messages among many subscriptions ---- */

struct note {
  uint64_t sent;
  uint32_t number, client;
};

static void publish_one(struct connection *publisher, uint32_t number, unsigned clients,
                        unsigned filters) {
  char topic[56];
  uint8_t payload[SIZE] = {0};
  uint32_t client = number * 2654435761u % clients; /* scattered */
  struct note note = {now_ns(), number, client};
  memcpy(payload, &note, sizeof note);
  int length = filter_of(topic, sizeof topic, client, number * 40503u % filters);
  put_publish(&publisher->out, version, 0, 0, topic, (size_t)length, payload, SIZE);
}

static unsigned take_notes(struct connection *connection, unsigned client, uint8_t *came,
                           struct durations *latency) {
  unsigned taken = 0;
  struct packet packet;
  struct note note;
  while (receive(connection)) continue;
  for (; next_packet(&connection->in, &packet); taken++) {
    if ((packet.first & 0xf0) != PUBLISH) unexpected(&packet, "PUBLISH");
    struct message message = message_of(&packet, version);
    if (message.size != SIZE) fail("a payload of %zu bytes", message.size);
    memcpy(&note, message.payload, sizeof note);
    if (note.client != client || note.number >= MESSAGES) fail("a message of somebody else");
    if (came[note.number]++) fail("a message came twice");
    note_duration(latency, now_ns() - note.sent);
  }
  return taken;
}

static void publish_among(struct connection *clients, unsigned count, unsigned filters) {
  static struct durations latency;
  static uint8_t came[MESSAGES];
  struct connection publisher = {0};
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  uint32_t published = 0, received = 0;
  begin(&publisher, count);
  for (unsigned i = 0; i < count; i++) watch(epoll, clients[i].fd, i);
  uint64_t start = now_ns();
  while (received < MESSAGES) {
    struct epoll_event events[EVENTS];
    while (published < MESSAGES && published < received + WINDOW)
      publish_one(&publisher, published++, count, filters);
    flush(&publisher);
    int ready = epoll_wait(epoll, events, EVENTS, PATIENCE * 1000 / 6);
    if (ready == 0) fail("%u of %u messages were lost", published - received, published);
    for (int i = 0; i < ready; i++) {
      unsigned client = events[i].data.u32;
      if (events[i].events & EPOLLIN)
        received += take_notes(&clients[client], client, came, &latency);
    }
  }
  printf("{\"delivered_per_s\": %.0f, ", MESSAGES / seconds_since(start));
  print_durations(&latency);
}

static void subscriptions(unsigned clients, unsigned filters) {
  struct connection *connection = begin_all(clients);
  await_next_stage();
  uint64_t start = now_ns();
  for (unsigned i = 0; i < clients; i++) subscribe_many(&connection[i], i, filters);
  printf("{\"subscribe_per_s\": %.0f", (double)clients * filters / seconds_since(start));
  await_next_stage();
  publish_among(connection, clients, filters);
  end_stage();
}

/* ---- retained messages ---- */

static void retain(struct connection *connection, unsigned messages) {
  uint8_t payload[SIZE] = {0};
  struct packet packet;
  unsigned acknowledged = 0;
  for (unsigned number = 0; acknowledged < messages; acknowledged++) {
    for (; number < messages && number < acknowledged + WINDOW; number++) {
      char topic[32];
      int length = snprintf(topic, sizeof topic, "kept/%u/%u", number % 100, number);
      memcpy(payload, &number, sizeof number);
      put_publish(&connection->out, version, RETAIN | 1 << 1, number % 65535 + 1, topic,
                  (size_t)length, payload, SIZE);
    }
    flush(connection);
    wait_packet(connection, &packet);
    if ((packet.first & 0xf0) != PUBACK) unexpected(&packet, "PUBACK");
  }
}

static void replay(struct connection *connection, unsigned messages) {
  uint8_t *came = allocate(messages, 1), given[16];
  struct packet packet;
  uint8_t *end = put_text(given, "kept/#", 6);
  *end++ = 0;
  put_subscribe(&connection->out, version, 1, given, (size_t)(end - given));
  flush(connection);
  for (unsigned received = 0; received < messages;) {
    unsigned number;
    wait_packet(connection, &packet);
    if (packet.first == SUBACK) {
      check_suback(&packet, version);
      continue;
    }
    if ((packet.first & 0xf0) != PUBLISH) unexpected(&packet, "PUBLISH");
    struct message message = message_of(&packet, version);
    if (!(message.flags & RETAIN)) fail("a retained message came without its flag");
    memcpy(&number, message.payload, sizeof number);
    if (message.size != SIZE || number >= messages || came[number]++) fail("a wrong message came");
    received++;
  }
  free(came);
}

static void retained(unsigned messages, unsigned subscribers) {
  static struct durations durations;
  struct connection publisher = {0};
  begin(&publisher, 0);
  printf("{\"connected\": 1");
  await_next_stage();
  uint64_t start = now_ns();
  retain(&publisher, messages);
  printf("{\"retain_per_s\": %.0f", messages / seconds_since(start));
  await_next_stage();
  start = now_ns();
  for (unsigned i = 0; i < subscribers; i++) {
    struct connection subscriber = {0};
    begin(&subscriber, i + 1);
    uint64_t began = now_ns();
    replay(&subscriber, messages);
    note_duration(&durations, now_ns() - began);
    close(subscriber.fd);
    free(subscriber.in.data);
    free(subscriber.out.data);
  }
  printf("{\"replayed_per_s\": %.0f, ", (double)messages * subscribers / seconds_since(start));
  print_durations(&durations);
  end_stage();
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*run)(unsigned, unsigned);
  } crowds[] = {{"storm", storm}, {"idle", idle}, {"subscriptions", subscriptions},
                {"retained", retained}};
  if (argc == 6 || argc == 7) {
    port = (int)number(argv[1], 1, 65535);
    version = (int)number(argv[5], 4, 5);
    rate = argc > 6 ? number(argv[6], 0.1, 1e6) : 0;
    for (unsigned i = 0; i < sizeof crowds / sizeof *crowds; i++)
      if (!strcmp(argv[2], crowds[i].name)) {
        crowds[i].run((unsigned)number(argv[3], 1, 1e6), (unsigned)number(argv[4], 1, 1e6));
        return 0;
      }
  }
  fprintf(stderr, "usage: mqttcrowd PORT storm|idle|subscriptions|retained COUNT COUNT VERSION "
                  "[RATE]\n");
  return 2;
}
