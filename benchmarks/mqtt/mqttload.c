/* mqttload: closed-loop load for an MQTT broker on the loopback interface.
 *
 *   mqttload PORT SHAPE CLIENTS WINDOW SIZE QOS SECONDS [VERSION [DRAIN]]
 *
 * SHAPE pairs:    CLIENTS publishers and as many subscribers, each with a topic of its own
 *       fanout:   one publisher, CLIENTS subscribers of its topic
 *       fanin:    CLIENTS publishers, one subscriber with a wildcard
 *       wild:     as pairs, each subscriber with wildcards on three levels of five
 *       shared:   CLIENTS publishers, CLIENTS subscribers that share one subscription
 *
 * Every publisher keeps WINDOW messages on their way: when all copies of one have been read, the
 * next is sent. With QoS 1 and 2 it never has more unacknowledged than the broker's Receive Maximum.
 * SIZE is the payload's length, 16 or more. VERSION is 4 (3.1.1, the default) or 5. The first
 * fifth of SECONDS warms up and is not counted. Then nothing more is sent, and what is on its way
 * has DRAIN seconds (5 unless told) to come.
 *
 * Every message carries its publisher and its number, and each subscriber compares: what is lost,
 * comes twice or in another order (which a shared subscription may, between its subscribers) is
 * counted. So are publications that were not acknowledged by the end. Any of these, a broker that
 * stands still for DRAIN seconds, and a connection that ends, are status 1. One line of JSON on stdout:
 *
 *   {"delivered_per_s", "MB_per_s", "p50_us", "p90_us", "p99_us", "p999_us", "max_us", "published",
 *    "delivered", "lost", "disorder", "dups", "unacknowledged"}
 *
 * A latency runs from when a message was given to the publisher's buffer to when its copy was
 * read. Only the rate, MB and latencies leave out the warm-up; the rest counts everything. */
#include "client.h"

enum shape { PAIRS, FANOUT, FANIN, WILD, SHARED };
static const char *const SHAPES[] = {"pairs", "fanout", "fanin", "wild", "shared"};

enum {
  STAMP = 16,          /* bytes of a payload that are not filling */
  LARGEST = 1 << 20,
  SPAN = 1 << 14       /* numbers that shared subscribers may be apart */
};
static const double WARM_UP = 0.2, DRAIN_SECONDS = 5;

struct stamp {
  uint64_t sent; /* nanoseconds */
  uint32_t number, publisher;
};

struct publisher {
  struct connection connection;
  uint64_t published, delivered, acknowledged; /* delivered counts all copies */
  unsigned quota, packet_id;
  int waiting; /* stands in the list of those that may publish */
  char topic[32];
  size_t topic_length;
  uint64_t base;  /* with shared subscriptions: all up to this number came */
  uint8_t *came;  /* and which of those after it did */
};

struct subscriber {
  struct connection connection;
  uint32_t *latest; /* by publisher: the highest number that came */
};

struct load {
  enum shape shape;
  int port, version, qos, epoll;
  unsigned window, publishers, subscribers;
  size_t size;
  double seconds, drain;
  uint64_t copies; /* of each message */
  struct publisher *publisher;
  struct subscriber *subscriber;
  unsigned *waiting, waiters; /* publishers that may publish */
  uint64_t received, lost, disorder, dups, all;
  struct durations latency;
  uint8_t payload[LARGEST];
};

/* ---- publishing ---- */

static uint64_t unacknowledged(const struct load *load, const struct publisher *publisher) {
  return load->qos ? publisher->published - publisher->acknowledged : 0;
}

static int may_publish(const struct load *load, const struct publisher *publisher) {
  return publisher->published * load->copies < publisher->delivered + load->window * load->copies &&
         unacknowledged(load, publisher) < publisher->quota;
}

static void publish(struct load *load, struct publisher *publisher) {
  struct stamp stamp = {now_ns(), (uint32_t)++publisher->published,
                        (uint32_t)(publisher - load->publisher)};
  memcpy(load->payload, &stamp, STAMP);
  if (load->qos && !(publisher->packet_id = (publisher->packet_id + 1) & 0xffff))
    publisher->packet_id = 1;
  put_publish(&publisher->connection.out, load->version, load->qos << 1, publisher->packet_id,
              publisher->topic, publisher->topic_length, load->payload, load->size);
}

static void let_publish(struct load *load, struct publisher *publisher) {
  if (publisher->waiting) return;
  publisher->waiting = 1;
  load->waiting[load->waiters++] = (unsigned)(publisher - load->publisher);
}

static void publish_all(struct load *load) {
  for (unsigned i = 0; i < load->waiters; i++) {
    struct publisher *publisher = &load->publisher[load->waiting[i]];
    publisher->waiting = 0;
    while (may_publish(load, publisher)) publish(load, publisher);
    flush(&publisher->connection);
  }
  load->waiters = 0;
}

/* ---- checking ---- */

static void check_order(struct load *load, struct subscriber *subscriber,
                        const struct stamp *stamp, int flags) {
  uint32_t *latest = &subscriber->latest[stamp->publisher];
  if (stamp->number == *latest + 1) {
    *latest = stamp->number;
  } else if (stamp->number > *latest) {
    load->lost += stamp->number - *latest - 1;
    *latest = stamp->number;
  } else if (flags & DUP) {
    load->dups++;
  } else {
    load->disorder++;
  }
}

/* Among those who share, each message comes once, to anyone, and not too late. */
static void check_shared(struct load *load, struct publisher *publisher, uint64_t number) {
  uint64_t ahead = number - publisher->base;
  if (number <= publisher->base || (ahead <= SPAN && publisher->came[number % SPAN])) {
    load->dups++;
    return;
  }
  for (; ahead > SPAN; ahead--) { /* the oldest is given up */
    uint64_t oldest = ++publisher->base;
    if (!publisher->came[oldest % SPAN]) load->lost++;
    publisher->came[oldest % SPAN] = 0;
  }
  publisher->came[number % SPAN] = 1;
  while (publisher->came[(publisher->base + 1) % SPAN]) publisher->came[++publisher->base % SPAN] = 0;
}

static void take_message(struct load *load, struct subscriber *subscriber,
                         const struct packet *packet) {
  struct message message = message_of(packet, load->version);
  struct stamp stamp;
  if (message.size != load->size) fail("a payload of %zu bytes, %zu were sent", message.size, load->size);
  memcpy(&stamp, message.payload, STAMP);
  if (stamp.publisher >= load->publishers) fail("a message of publisher %u", stamp.publisher);
  struct publisher *publisher = &load->publisher[stamp.publisher];
  if (!stamp.number || stamp.number > publisher->published) fail("a message that was not sent");
  if (memcmp(message.payload + STAMP, load->payload + STAMP, load->size - STAMP))
    fail("a payload that differs from what was sent");
  note_duration(&load->latency, now_ns() - stamp.sent);
  load->received++;
  load->all++;
  if (load->shape == SHARED) check_shared(load, publisher, stamp.number);
  else check_order(load, subscriber, &stamp, message.flags);
  publisher->delivered++;
  let_publish(load, publisher);
  if (message.qos)
    put_answer(&subscriber->connection.out, message.qos == 1 ? PUBACK : PUBREC, message.packet_id);
}

static unsigned answered_id(const struct packet *packet) {
  if (packet->size < 2) fail("%s without a packet identifier", packet_name(packet->first));
  if (packet->size > 2 && packet->body[2] >= 0x80)
    fail("%s with reason 0x%02x", packet_name(packet->first), packet->body[2]);
  return word_at(packet->body);
}

static void take_answer(struct load *load, struct publisher *publisher, const struct packet *packet) {
  unsigned id = answered_id(packet);
  uint8_t type = packet->first & 0xf0;
  if (type == PUBREC && load->qos == 2) {
    put_answer(&publisher->connection.out, PUBREL, id);
  } else if (type == (load->qos == 1 ? PUBACK : PUBCOMP) && load->qos) {
    publisher->acknowledged++;
    let_publish(load, publisher);
  } else {
    unexpected(packet, "an acknowledgement");
  }
}

static void take_subscribed(struct load *load, struct subscriber *subscriber,
                            const struct packet *packet) {
  if ((packet->first & 0xf0) == PUBLISH)
    take_message(load, subscriber, packet);
  else if (packet->first == PUBREL && load->qos == 2)
    put_answer(&subscriber->connection.out, PUBCOMP, answered_id(packet));
  else
    unexpected(packet, "PUBLISH");
}

/* ---- all clients ---- */

static void read_publisher(struct load *load, struct publisher *publisher) {
  struct packet packet;
  int more;
  do {
    more = receive(&publisher->connection);
    while (next_packet(&publisher->connection.in, &packet)) take_answer(load, publisher, &packet);
  } while (more);
  flush(&publisher->connection);
}

static void read_subscriber(struct load *load, struct subscriber *subscriber) {
  struct packet packet;
  int more;
  do {
    more = receive(&subscriber->connection);
    while (next_packet(&subscriber->connection.in, &packet))
      take_subscribed(load, subscriber, &packet);
  } while (more);
  flush(&subscriber->connection);
}

static void serve_events(struct load *load) {
  struct epoll_event events[EVENTS];
  int count = epoll_wait(load->epoll, events, EVENTS, POLL_MS);
  for (int i = 0; i < count; i++) {
    uint32_t number = events[i].data.u32;
    if (number < load->publishers) read_publisher(load, &load->publisher[number]);
    else read_subscriber(load, &load->subscriber[number - load->publishers]);
  }
}

static void send_until(struct load *load, uint64_t end) {
  uint64_t now, moved = now_ns(), seen = load->all;
  while ((now = now_ns()) < end) {
    publish_all(load);
    serve_events(load);
    if (load->all != seen) seen = load->all, moved = now;
    else if (now > moved + nanoseconds(load->drain)) return; /* it stands still; drain tells */
  }
}

static uint64_t owed_copies(const struct load *load) {
  uint64_t owed = 0;
  for (unsigned i = 0; i < load->publishers; i++) {
    const struct publisher *publisher = &load->publisher[i];
    uint64_t sent = publisher->published * load->copies;
    owed += sent > publisher->delivered ? sent - publisher->delivered : 0;
  }
  return owed;
}

static uint64_t owed_answers(const struct load *load) {
  uint64_t owed = 0;
  for (unsigned i = 0; i < load->publishers; i++)
    owed += unacknowledged(load, &load->publisher[i]);
  return owed;
}

static void drain(struct load *load) {
  uint64_t end = now_ns() + nanoseconds(load->drain);
  while ((owed_copies(load) || owed_answers(load)) && now_ns() < end) serve_events(load);
}

/* ---- connecting ---- */

static void begin(struct load *load, struct connection *connection, char role, unsigned number) {
  char client_id[32];
  snprintf(client_id, sizeof client_id, "load-%c-%u", role, number);
  connection->fd = open_socket(load->port, number, 0);
  put_connect(&connection->out, load->version, client_id);
}

static void name_topic(const struct load *load, struct publisher *publisher, unsigned number) {
  static const char *const topics[] = {"load/%u/x", "load/all", "load/in/%u", "load/%u/a/b/c",
                                       "load/shared/%u"};
  publisher->topic_length = (size_t)snprintf(publisher->topic, sizeof publisher->topic,
                                             topics[load->shape], number);
}

static void connect_publisher(struct load *load, unsigned number) {
  struct publisher *publisher = &load->publisher[number];
  begin(load, &publisher->connection, 'p', number);
  struct packet packet = answered(&publisher->connection, CONNACK);
  check_connack(&packet);
  publisher->quota = receive_maximum(&packet, load->version);
  if (load->shape == SHARED) publisher->came = allocate(SPAN, 1);
  name_topic(load, publisher, number);
  let_publish(load, publisher);
}

static void subscribe(struct load *load, struct subscriber *subscriber, unsigned number) {
  static const char *const filters[] = {"load/%u/x", "load/all", "load/in/+", "load/%u/+/b/#",
                                        "$share/load/load/shared/+"};
  char filter[48];
  uint8_t given[64];
  int length = snprintf(filter, sizeof filter, filters[load->shape], number);
  uint8_t *end = put_text(given, filter, (size_t)length);
  *end++ = (uint8_t)load->qos;
  put_subscribe(&subscriber->connection.out, load->version, 1, given, (size_t)(end - given));
  struct packet packet = answered(&subscriber->connection, SUBACK);
  check_suback(&packet, load->version);
}

static void connect_subscriber(struct load *load, unsigned number) {
  struct subscriber *subscriber = &load->subscriber[number];
  begin(load, &subscriber->connection, 's', number);
  struct packet packet = answered(&subscriber->connection, CONNACK);
  check_connack(&packet);
  subscribe(load, subscriber, number);
  subscriber->latest = allocate(load->publishers, sizeof *subscriber->latest);
}

static void connect_all(struct load *load) {
  load->publisher = allocate(load->publishers, sizeof *load->publisher);
  load->subscriber = allocate(load->subscribers, sizeof *load->subscriber);
  load->waiting = allocate(load->publishers, sizeof *load->waiting);
  for (unsigned i = 0; i < load->subscribers; i++) connect_subscriber(load, i);
  for (unsigned i = 0; i < load->publishers; i++) connect_publisher(load, i);
  for (unsigned i = 0; i < load->publishers; i++)
    watch(load->epoll, load->publisher[i].connection.fd, i);
  for (unsigned i = 0; i < load->subscribers; i++)
    watch(load->epoll, load->subscriber[i].connection.fd, load->publishers + i);
}

/* ---- the whole ---- */

static uint64_t published(const struct load *load) {
  uint64_t sum = 0;
  for (unsigned i = 0; i < load->publishers; i++) sum += load->publisher[i].published;
  return sum;
}

static int report(struct load *load, double rate, const struct durations *latency) {
  uint64_t missing = owed_copies(load), unanswered = owed_answers(load);
  uint64_t lost = missing > load->lost ? missing : load->lost; /* a gap is missing at the end, too */
  printf("{\"delivered_per_s\": %.0f, \"MB_per_s\": %.2f, ", rate, rate * (double)load->size / 1e6);
  print_durations(latency);
  printf(", \"published\": %llu, \"delivered\": %llu, \"lost\": %llu, \"disorder\": %llu, "
         "\"dups\": %llu, \"unacknowledged\": %llu}\n",
         (unsigned long long)published(load), (unsigned long long)load->all,
         (unsigned long long)lost, (unsigned long long)load->disorder,
         (unsigned long long)load->dups, (unsigned long long)unanswered);
  if (lost || load->disorder || load->dups || unanswered)
    fprintf(stderr, "%llu lost, %llu in another order, %llu twice, %llu not acknowledged\n",
            (unsigned long long)lost, (unsigned long long)load->disorder,
            (unsigned long long)load->dups, (unsigned long long)unanswered);
  return lost || load->disorder || load->dups || unanswered;
}

static int measure(struct load *load) {
  static struct durations latency;
  uint64_t start = now_ns();
  send_until(load, start + nanoseconds(load->seconds * WARM_UP));
  load->received = 0;
  memset(&load->latency, 0, sizeof load->latency);
  uint64_t warm = now_ns();
  send_until(load, start + nanoseconds(load->seconds));
  double rate = (double)load->received / ((double)(now_ns() - warm + 1) / 1e9);
  latency = load->latency;
  drain(load);
  return report(load, rate, &latency);
}

static enum shape shape_of(const char *text) {
  for (unsigned i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++)
    if (!strcmp(text, SHAPES[i])) return (enum shape)i;
  fprintf(stderr, "%s: pairs, fanout, fanin, wild or shared was expected\n", text);
  exit(2);
}

int main(int argc, char **argv) {
  static struct load load;
  if (argc < 8 || argc > 10) {
    fprintf(stderr, "usage: mqttload PORT pairs|fanout|fanin|wild|shared CLIENTS WINDOW SIZE QOS "
                    "SECONDS [VERSION [DRAIN]]\n");
    return 2;
  }
  load.port = (int)number(argv[1], 1, 65535);
  load.shape = shape_of(argv[2]);
  unsigned clients = (unsigned)number(argv[3], 1, 1e5);
  load.window = (unsigned)number(argv[4], 1, 1e5);
  load.size = (size_t)number(argv[5], STAMP, LARGEST);
  load.qos = (int)number(argv[6], 0, 2);
  load.seconds = number(argv[7], 0.01, 1e5);
  load.version = argc > 8 ? (int)number(argv[8], 4, 5) : 4;
  load.drain = argc > 9 ? number(argv[9], 0.01, 1e5) : DRAIN_SECONDS;
  load.publishers = load.shape == FANOUT ? 1 : clients;
  load.subscribers = load.shape == FANIN ? 1 : clients;
  load.copies = load.shape == FANOUT ? clients : 1;
  memset(load.payload, 'p', load.size);
  load.epoll = epoll_create1(EPOLL_CLOEXEC);
  if (load.epoll < 0) die("epoll_create1");
  connect_all(&load);
  return measure(&load);
}
