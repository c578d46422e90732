// A stand-in for wintun.dll for tests under Wine, where no driver can be loaded: it
// has the functions that the service uses, and gives back every packet that is
// written. Its adapter has the LUID of the link with index 1.
#include <winsock2.h>
#include <windows.h>
#include <iphlpapi.h>
#include <stdlib.h>
#include <string.h>

enum { PLACES = 64, MAX_PACKET = 65535 };

struct packet {
	DWORD size;
	BYTE data[MAX_PACKET];
};

struct session {
	CRITICAL_SECTION lock;
	HANDLE ready;
	struct packet *queue[PLACES];
	unsigned head, tail;
};

#define EXPORT __declspec(dllexport)

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
	ConvertInterfaceIndexToLuid(1, luid);
}

EXPORT DWORD WINAPI WintunGetRunningDriverVersion(void) { return 14; }

EXPORT void WINAPI WintunSetLogger(void *logger) {}

EXPORT void *WINAPI WintunStartSession(void *adapter, DWORD capacity)
{
	struct session *s = calloc(1, sizeof *s);
	InitializeCriticalSection(&s->lock);
	s->ready = CreateEventW(NULL, FALSE, FALSE, NULL);
	return s;
}

EXPORT void WINAPI WintunEndSession(struct session *s)
{
	while (s->head != s->tail)
		free(s->queue[s->head++ % PLACES]);
	CloseHandle(s->ready);
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
	if (s->tail - s->head >= PLACES) {
		SetLastError(ERROR_BUFFER_OVERFLOW);
		return NULL;
	}
	p = malloc(sizeof *p);
	p->size = size;
	return p->data;
}

EXPORT void WINAPI WintunSendPacket(struct session *s, const BYTE *data)
{
	EnterCriticalSection(&s->lock);
	s->queue[s->tail++ % PLACES] = packet_of(data);
	LeaveCriticalSection(&s->lock);
	SetEvent(s->ready);
}
