/*
 * One end of a primary rate D-channel, spoken by libpri: a peer for tests, built and started by control/signalling/tests/libpri.rs.
 * D-channel frames (without flags and FCS) travel as Unix datagrams. Orders come as lines on standard input, what happens
 * is told as lines on standard output.
 *
 *   peer OWN_SOCKET PEER_SOCKET net|cpe euroisdn|national
 *
 * Orders: call CHANNEL CALLED CALLING | more DIGITS | hangup CAUSE | reset CHANNEL | bridge | quit
 * A call to a number that ends in 17 is refused as busy after CALL PROCEEDING, in 18 rings for ever, in 19 is answered without a word before,
 * any other is proceeded, alerted and answered; one that is not complete is so with its eighth digit.
 */
#include <errno.h>
#include <libpri.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define CALLS_MAX 64
#define COMPLETE_DIGITS 8

struct call {
	q931_call *call;
	int channel;
	char digits[256];
	int ours;
	int taken;
};

static struct call calls[CALLS_MAX];
static struct sockaddr_un peer_name;
static int line_fd;
static int is_mu;

static void say(const char *what, int channel, const char *rest)
{
	printf("%s %d %s\n", what, channel, rest);
	fflush(stdout);
}

/* libpri counts two octets of FCS at the end of every frame. */
static int line_read(struct pri *pri, void *buf, int buflen)
{
	ssize_t got = recv(pri_fd(pri), buf, buflen - 2, MSG_DONTWAIT);

	if (got < 0)
		return errno == EAGAIN || errno == ECONNREFUSED ? 0 : -1;
	memset((char *) buf + got, 0, 2);
	return got + 2;
}

static int line_write(struct pri *pri, void *buf, int buflen)
{
	sendto(pri_fd(pri), buf, buflen - 2, 0, (struct sockaddr *) &peer_name, sizeof(peer_name));
	return buflen;
}

static void to_stderr(struct pri *pri, char *text)
{
	(void) pri;
	fputs(text, stderr);
}

static struct call *find(q931_call *call)
{
	for (int i = 0; i < CALLS_MAX; i++)
		if (calls[i].call == call)
			return &calls[i];
	return NULL;
}

static struct call *keep(q931_call *call, int channel, int ours)
{
	struct call *c = find(call);

	if (!c)
		c = find(NULL);
	if (!c) {
		fprintf(stderr, "too many calls\n");
		exit(2);
	}
	memset(c, 0, sizeof(*c));
	c->call = call;
	c->channel = channel;
	c->ours = ours;
	return c;
}

static void take(struct pri *pri, struct call *c)
{
	size_t n = strlen(c->digits);
	const char *end = n >= 2 ? c->digits + n - 2 : "";

	c->taken = 1;
	if (!strcmp(end, "17")) {
		pri_proceeding(pri, c->call, c->channel, 0);
		pri_hangup(pri, c->call, 17);
		return;
	}
	if (!strcmp(end, "19")) {
		pri_answer(pri, c->call, c->channel, 0);
		return;
	}
	pri_proceeding(pri, c->call, c->channel, 0);
	pri_acknowledge(pri, c->call, c->channel, 0);
	if (strcmp(end, "18"))
		pri_answer(pri, c->call, c->channel, 0);
}

static void ring(struct pri *pri, pri_event_ring *ring)
{
	char text[1200];
	struct call *c = keep(ring->call, ring->channel & 0xff, 0);

	snprintf(c->digits, sizeof(c->digits), "%s", ring->callednum);
	snprintf(text, sizeof(text), "to=%s from=%s name=%s redirecting=%s plan=%d flexible=%d complete=%d law=%d", ring->callednum,
		ring->callingnum, ring->callingname, ring->redirectingnum, ring->calledplan, ring->flexible, ring->complete, ring->layer1);
	say("RING", c->channel, text);
	if (ring->complete || strlen(c->digits) >= COMPLETE_DIGITS)
		take(pri, c);
	else
		pri_need_more_info(pri, c->call, c->channel, 0);
}

static void more(struct pri *pri, pri_event_ring *info)
{
	struct call *c = find(info->call);
	size_t n;

	if (!c || c->taken)
		return;
	n = strlen(c->digits);
	snprintf(c->digits + n, sizeof(c->digits) - n, "%s", info->callednum);
	say("DIGITS", c->channel, c->digits);
	if (info->complete || strlen(c->digits) == COMPLETE_DIGITS)
		take(pri, c);
}

static void hung_up(struct pri *pri, const char *what, pri_event_hangup *hangup)
{
	int asked = hangup->e == PRI_EVENT_HANGUP_REQ;
	char text[32];
	struct call *c = find(hangup->call);

	snprintf(text, sizeof(text), "cause=%d", hangup->cause);
	say(what, c ? c->channel : -1, text);
	if (!asked && c)
		c->call = NULL;
	if (hangup->e != PRI_EVENT_HANGUP_ACK)
		pri_hangup(pri, hangup->call, hangup->cause);
}

static void subcommands(struct pri *pri, q931_call *call, struct pri_subcommands *all)
{
	for (int i = 0; all && i < all->counter_subcmd; i++) {
		struct pri_subcommand *sub = &all->subcmd[i];

		if (sub->cmd == PRI_SUBCMD_TRANSFER_CALL) {
			struct call *one = find(sub->u.transfer.call_1), *two = find(sub->u.transfer.call_2);

			say("TRANSFER", one ? one->channel : -1, two ? "found" : "lost");
			pri_transfer_rsp(pri, call, sub->u.transfer.invoke_id, 1);
			/* The result travels with the DISCONNECT. */
			if (one)
				pri_hangup(pri, one->call, 16);
			if (two)
				pri_hangup(pri, two->call, 16);
		}
	}
}

static void happened(struct pri *pri, pri_event *e)
{
	switch (e->e) {
	case PRI_EVENT_DCHAN_UP:
		say("UP", 0, "");
		break;
	case PRI_EVENT_DCHAN_DOWN:
		say("DOWN", 0, "");
		break;
	case PRI_EVENT_RESTART:
		say("RESTART", e->restart.channel, "");
		break;
	case PRI_EVENT_RESTART_ACK:
		say("RESTART_ACK", e->restartack.channel, "");
		break;
	case PRI_EVENT_RING:
		ring(pri, &e->ring);
		break;
	case PRI_EVENT_INFO_RECEIVED:
		more(pri, &e->ring);
		break;
	case PRI_EVENT_SETUP_ACK:
		say("SETUP_ACK", e->setup_ack.channel & 0xff, "");
		break;
	case PRI_EVENT_PROCEEDING:
		say("PROCEEDING", e->proceeding.channel & 0xff, "");
		break;
	case PRI_EVENT_PROGRESS:
		say("PROGRESS", e->proceeding.channel & 0xff, "");
		break;
	case PRI_EVENT_RINGING:
		say("RINGING", e->ringing.channel & 0xff, "");
		break;
	case PRI_EVENT_ANSWER:
		say("ANSWER", e->answer.channel & 0xff, "");
		break;
	case PRI_EVENT_CONNECT_ACK:
		say("CONNECT_ACK", e->connect_ack.channel & 0xff, "");
		break;
	case PRI_EVENT_FACILITY:
		say("FACILITY", e->facility.channel & 0xff, "");
		subcommands(pri, e->facility.subcall, e->facility.subcmds);
		break;
	case PRI_EVENT_HANGUP:
		hung_up(pri, "HANGUP", &e->hangup);
		break;
	case PRI_EVENT_HANGUP_REQ:
		hung_up(pri, "HANGUP_REQ", &e->hangup);
		break;
	case PRI_EVENT_HANGUP_ACK:
		hung_up(pri, "HANGUP_ACK", &e->hangup);
		break;
	default:
		say("EVENT", e->e, pri_event2str(e->e));
	}
}

static void place(struct pri *pri, int channel, char *called, char *calling)
{
	struct pri_sr *sr = pri_sr_new();
	q931_call *call = pri_new_call(pri);
	int complete = called[strlen(called) - 1] != '-';

	if (!complete)
		called[strlen(called) - 1] = 0;
	keep(call, channel, 1);
	pri_sr_set_channel(sr, channel, 1, 0);
	pri_sr_set_bearer(sr, PRI_TRANS_CAP_SPEECH, is_mu ? PRI_LAYER_1_ULAW : PRI_LAYER_1_ALAW);
	pri_sr_set_called(sr, called, PRI_UNKNOWN, complete);
	pri_sr_set_caller(sr, calling, "Peer", PRI_UNKNOWN, PRES_ALLOWED_USER_NUMBER_NOT_SCREENED);
	if (pri_setup(pri, call, sr))
		say("REFUSED", channel, "");
	pri_sr_free(sr);
}

static void ordered(struct pri *pri, char *line)
{
	char called[64], calling[64];
	int n;

	if (sscanf(line, "call %d %63s %63s", &n, called, calling) == 3)
		place(pri, n, called, calling);
	else if (sscanf(line, "more %63s", called) == 1) {
		for (int i = 0; i < CALLS_MAX; i++)
			for (char *d = called; calls[i].call && calls[i].ours && *d; d++)
				pri_information(pri, calls[i].call, *d);
	} else if (sscanf(line, "hangup %d", &n) == 1) {
		for (int i = 0; i < CALLS_MAX; i++)
			if (calls[i].call)
				pri_hangup(pri, calls[i].call, n);
	} else if (sscanf(line, "reset %d", &n) == 1)
		pri_reset(pri, n);
	else if (!strncmp(line, "bridge", 6)) {
		q931_call *two[2] = { NULL, NULL };

		for (int i = 0, at = 0; i < CALLS_MAX && at < 2; i++)
			if (calls[i].call)
				two[at++] = calls[i].call;
		say("BRIDGE", pri_channel_bridge(two[0], two[1]), "");
	} else if (!strncmp(line, "quit", 4))
		exit(0);
}

/* Milliseconds until libpri's next timer, at most a second. */
static int patience(struct pri *pri)
{
	struct timeval *next = pri_schedule_next(pri), now;
	long ms = 1000;

	if (next) {
		gettimeofday(&now, NULL);
		ms = (next->tv_sec - now.tv_sec) * 1000 + (next->tv_usec - now.tv_usec) / 1000 + 1;
	}
	return ms < 0 ? 0 : ms > 1000 ? 1000 : (int) ms;
}

static int open_line(const char *own, const char *peer)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	snprintf(name.sun_path, sizeof(name.sun_path), "%s", own);
	peer_name.sun_family = AF_UNIX;
	snprintf(peer_name.sun_path, sizeof(peer_name.sun_path), "%s", peer);
	if (fd < 0 || bind(fd, (struct sockaddr *) &name, sizeof(name))) {
		perror(own);
		exit(2);
	}
	return fd;
}

int main(int argc, char **argv)
{
	static char input[4096];
	size_t have = 0;
	struct pri *pri;
	pri_event *e;

	if (argc != 5)
		return 2;
	line_fd = open_line(argv[1], argv[2]);
	is_mu = !strcmp(argv[4], "national");
	pri_set_message(to_stderr);
	pri_set_error(to_stderr);
	pri = pri_new_cb(line_fd, strcmp(argv[3], "net") ? PRI_CPE : PRI_NETWORK, is_mu ? PRI_SWITCH_NI2 : PRI_SWITCH_EUROISDN_E1,
		line_read, line_write, NULL);
	if (!pri)
		return 2;
	pri_set_overlapdial(pri, 1);
	pri_hangup_fix_enable(pri, 1);
	pri_transfer_enable(pri, 1);
	pri_set_debug(pri, PRI_DEBUG_Q931_DUMP | PRI_DEBUG_Q921_STATE | PRI_DEBUG_APDU);
	for (;;) {
		struct pollfd fds[2] = { { .fd = 0, .events = POLLIN }, { .fd = line_fd, .events = POLLIN } };
		char *end;
		ssize_t got;

		while ((e = pri_schedule_run(pri)))
			happened(pri, e);
		poll(fds, 2, patience(pri));
		if (fds[1].revents && (e = pri_check_event(pri)))
			happened(pri, e);
		if (!fds[0].revents)
			continue;
		got = read(0, input + have, sizeof(input) - 1 - have);
		if (got <= 0)
			return 0;
		have += got;
		input[have] = 0;
		while ((end = strchr(input, '\n'))) {
			*end = 0;
			ordered(pri, input);
			have -= end + 1 - input;
			memmove(input, end + 1, have + 1);
		}
	}
}
