// A stand-in for wintun.dll for tests under Wine, where no driver can be loaded: it
// has the functions that the service uses.
//
// By itself it gives back every packet that is written, and its adapter has the LUID of
// the link with index 1. With a file wintun.port beside it, "PORT INDEX", it is the link
// of that index, and carries packets over a TCP connection to that port of 127.0.0.1:
// each with its size before it, in 4 bytes, least significant first.
#include <winsock2.h>
#include <windows.h>
#include <iphlpapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLACES = 64, MAX_PACKET = 65535 };

struct packet {
	DWORD size;
	BYTE data[MAX_PACKET]; // follows size at once: both are sent as they are
};

struct session {
	CRITICAL_SECTION lock;
	HANDLE ready;
	struct packet *queue[PLACES];
	unsigned head, tail;
	SOCKET link; // INVALID_SOCKET: packets come back
	CRITICAL_SECTION sending;
	HANDLE receiver;
	volatile BOOL ended;
};

#define EXPORT __declspec(dllexport)

static HINSTANCE self;

BOOL WINAPI DllMain(HINSTANCE instance, DWORD reason, void *reserved)
{
	if (reason == DLL_PROCESS_ATTACH)
		self = instance;
	return TRUE;
}

// linked tells whether packets go elsewhere, and where.
static BOOL linked(unsigned *port, unsigned *index)
{
	WCHAR path[MAX_PATH];
	FILE *f;
	int n;
	GetModuleFileNameW(self, path, MAX_PATH);
	wcscpy(wcsrchr(path, L'.'), L".port");
	f = _wfopen(path, L"r");
	if (!f)
		return FALSE;
	n = fscanf(f, "%u %u", port, index);
	fclose(f);
	return n == 2;
}

static SOCKET connected(unsigned port)
{
	WSADATA data;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	SOCKET s;
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	WSAStartup(MAKEWORD(2, 2), &data);
	s = socket(AF_INET, SOCK_STREAM, 0);
	if (s != INVALID_SOCKET && connect(s, (struct sockaddr *)&to, sizeof to)) {
		closesocket(s);
		return INVALID_SOCKET;
	}
	return s;
}

static BOOL received(SOCKET s, void *into, int size)
{
	int n;
	for (char *p = into; size > 0; p += n, size -= n) {
		n = recv(s, p, size, 0);
		if (n <= 0)
			return FALSE;
	}
	return TRUE;
}

// receive puts what comes over the link into the ring, and waits while that is full.
static DWORD WINAPI receive(void *session)
{
	struct session *s = session;
	DWORD size;
	while (received(s->link, &size, sizeof size) && size <= MAX_PACKET) {
		struct packet *p = malloc(sizeof *p);
		p->size = size;
		if (!received(s->link, p->data, size)) {
			free(p);
			break;
		}
		while (!s->ended && s->tail - s->head >= PLACES)
			Sleep(1);
		EnterCriticalSection(&s->lock);
		if (s->tail - s->head < PLACES)
			s->queue[s->tail++ % PLACES] = p;
		else
			free(p);
		LeaveCriticalSection(&s->lock);
		SetEvent(s->ready);
	}
	return 0;
}

EXPORT void *WINAPI WintunCreateAdapter(const WCHAR *name, const WCHAR *type, const GUID *guid)
{
	return calloc(1, 16);
}

EXPORT void *WINAPI WintunOpenAdapter(const WCHAR *name)
{
	SetLastError(ERROR_NOT_FOUND);
	return NULL;
}

EXPORT BOOL WINAPI WintunCloseAdapter(void *adapter)
{
	free(adapter);
	return TRUE;
}

EXPORT BOOL WINAPI WintunDeleteDriver(void) { return TRUE; }

EXPORT void WINAPI WintunGetAdapterLUID(void *adapter, NET_LUID *luid)
{
	unsigned port, index = 1;
	linked(&port, &index);
	ConvertInterfaceIndexToLuid(index, luid);
}

EXPORT DWORD WINAPI WintunGetRunningDriverVersion(void) { return 14; }

EXPORT void WINAPI WintunSetLogger(void *logger) {}

EXPORT void *WINAPI WintunStartSession(void *adapter, DWORD capacity)
{
	struct session *s = calloc(1, sizeof *s);
	unsigned port, index;
	s->link = INVALID_SOCKET;
	if (linked(&port, &index)) {
		s->link = connected(port);
		if (s->link == INVALID_SOCKET) {
			free(s);
			SetLastError(ERROR_NOT_READY);
			return NULL;
		}
	}
	InitializeCriticalSection(&s->lock);
	InitializeCriticalSection(&s->sending);
	s->ready = CreateEventW(NULL, FALSE, FALSE, NULL);
	if (s->link != INVALID_SOCKET)
		s->receiver = CreateThread(NULL, 0, receive, s, 0, NULL);
	return s;
}

EXPORT void WINAPI WintunEndSession(struct session *s)
{
	if (s->link != INVALID_SOCKET) {
		s->ended = TRUE;
		shutdown(s->link, SD_BOTH);
		closesocket(s->link);
		WaitForSingleObject(s->receiver, INFINITE);
		CloseHandle(s->receiver);
	}
	while (s->head != s->tail)
		free(s->queue[s->head++ % PLACES]);
	CloseHandle(s->ready);
	DeleteCriticalSection(&s->sending);
	DeleteCriticalSection(&s->lock);
	free(s);
}

EXPORT HANDLE WINAPI WintunGetReadWaitEvent(struct session *s) { return s->ready; }

EXPORT BYTE *WINAPI WintunReceivePacket(struct session *s, DWORD *size)
{
	struct packet *p = NULL;
	EnterCriticalSection(&s->lock);
	if (s->head != s->tail)
		p = s->queue[s->head++ % PLACES];
	LeaveCriticalSection(&s->lock);
	if (!p) {
		SetLastError(ERROR_NO_MORE_ITEMS);
		return NULL;
	}
	*size = p->size;
	return p->data;
}

static struct packet *packet_of(const BYTE *data)
{
	return (struct packet *)(data - offsetof(struct packet, data));
}

EXPORT void WINAPI WintunReleaseReceivePacket(struct session *s, const BYTE *data) { free(packet_of(data)); }

EXPORT BYTE *WINAPI WintunAllocateSendPacket(struct session *s, DWORD size)
{
	struct packet *p;
	if (size > MAX_PACKET) {
		SetLastError(ERROR_INVALID_PARAMETER);
		return NULL;
	}
	if (s->link == INVALID_SOCKET && s->tail - s->head >= PLACES) {
		SetLastError(ERROR_BUFFER_OVERFLOW);
		return NULL;
	}
	p = malloc(sizeof *p);
	p->size = size;
	return p->data;
}

EXPORT void WINAPI WintunSendPacket(struct session *s, const BYTE *data)
{
	struct packet *p = packet_of(data);
	if (s->link != INVALID_SOCKET) {
		const char *from = (const char *)&p->size;
		int n, size = p->size + sizeof p->size;
		EnterCriticalSection(&s->sending);
		for (; size > 0 && (n = send(s->link, from, size, 0)) > 0; from += n, size -= n)
			;
		LeaveCriticalSection(&s->sending);
		free(p);
		return;
	}
	EnterCriticalSection(&s->lock);
	s->queue[s->tail++ % PLACES] = p;
	LeaveCriticalSection(&s->lock);
	SetEvent(s->ready);
}
