// A libcuda.so.1 whose device is the host's memory: enough of the driver API to run the package's own calls against it.
// Every handle is checked; streams run at once, except while they are captured. "Out of memory" begins at 1 GiB.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500 };
enum { STREAM = 0x57, EVENT = 0xE7, GRAPH = 0x64, EXECUTABLE = 0xEC };
typedef struct { void *to; const void *from; size_t bytes; } Copy;
typedef struct { int kind, capturing, copies; Copy copy[16]; } Object;

static int initialised, retained, live, wrong;
static __thread int current; // how many contexts lie on the thread's stack; all are the primary one

// What is left at the end, more than one hold on the context, and giving it back as one's own, are errors.
__attribute__((destructor)) static void end(void) {
    if (live || retained > 1 || wrong) {
        fprintf(stderr, "host cuda: %d objects are left, the context is held %d times, %d wrong calls\n", live, retained, wrong);
        _exit(70);
    }
}

static Object *object(void *handle, int kind) {
    Object *o = handle;
    return o != NULL && o->kind == kind ? o : NULL;
}
static int make(void **out, int kind) {
    if (!current) return INVALID_CONTEXT;
    Object *o = calloc(1, sizeof *o);
    o->kind = kind, *out = o, ++live;
    return SUCCESS;
}
static int drop(void *handle, int kind) {
    if (!current) return INVALID_CONTEXT;
    Object *o = object(handle, kind);
    if (!o) return INVALID_HANDLE;
    o->kind = 0, --live;
    free(o);
    return SUCCESS;
}
static int copy(void *to, const void *from, size_t bytes, void *stream) {
    Object *s = object(stream, STREAM);
    if (!s) return INVALID_HANDLE;
    if (s->capturing)
        s->copy[s->copies++] = (Copy){to, from, bytes};
    else
        memcpy(to, from, bytes);
    return SUCCESS;
}
static int allocate(void **out, size_t bytes) {
    if (!current) return INVALID_CONTEXT;
    if (bytes >= (size_t)1 << 30) return OUT_OF_MEMORY;
    ++live;
    *out = malloc(bytes);
    return SUCCESS;
}
static int release(void *p) {
    if (!current) return INVALID_CONTEXT;
    if (!p) return INVALID_VALUE;
    --live;
    free(p);
    return SUCCESS;
}

int cuInit(unsigned flags) { initialised = 1; return flags ? INVALID_VALUE : SUCCESS; }
int cuDriverGetVersion(int *version) { *version = 13000; return SUCCESS; }
int cuDeviceGetCount(int *count) { *count = 1; return initialised ? SUCCESS : NOT_INITIALIZED; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return initialised ? SUCCESS : NOT_INITIALIZED; }
int cuDeviceGetName(char *name, int length, int device) { snprintf(name, length, "Host %d", device); return SUCCESS; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = (size_t)1 << 30; return device; }
int cuDeviceGetAttribute(int *value, int which, int device) { *value = which == 75 ? 8 : 6; return device; }
int cuDevicePrimaryCtxRetain(void **context, int device) { *context = &retained; ++retained; return device; }
int cuDevicePrimaryCtxRelease_v2(int device) {
    // the last to go resets the context, which must not be current then
    return --retained == 0 && current ? INVALID_CONTEXT : device;
}
int cuCtxSetCurrent(void *context) { // in place of the uppermost
    if (context != &retained) return INVALID_CONTEXT;
    current = current ? current : 1;
    return SUCCESS;
}
int cuCtxPushCurrent_v2(void *context) {
    if (context != &retained) return INVALID_CONTEXT;
    ++current;
    return SUCCESS;
}
int cuCtxPopCurrent_v2(void **context) {
    if (!current) return INVALID_CONTEXT;
    --current, *context = &retained;
    return SUCCESS;
}
int cuCtxDetach(void *context) { // of contexts that cuCtxCreate made: the primary one is none
    (void)context, ++wrong;
    return INVALID_CONTEXT;
}
int cuCtxGetDevice(int *device) { *device = 0; return current ? SUCCESS : INVALID_CONTEXT; }
int cuMemAlloc_v2(void **address, size_t bytes) { return allocate(address, bytes); }
int cuMemFree_v2(void *address) { return release(address); }
int cuMemHostAlloc(void **address, size_t bytes, unsigned flags) { return flags ? INVALID_VALUE : allocate(address, bytes); }
int cuMemFreeHost(void *address) { return release(address); }
int cuStreamCreate(void **stream, unsigned flags) { return flags == 1 ? make(stream, STREAM) : INVALID_VALUE; }
int cuStreamDestroy_v2(void *stream) { return drop(stream, STREAM); }
int cuStreamSynchronize(void *stream) { return object(stream, STREAM) ? SUCCESS : INVALID_HANDLE; }
int cuEventCreate(void **event, unsigned flags) { return flags == 2 || flags == 3 ? make(event, EVENT) : INVALID_VALUE; }
int cuEventDestroy_v2(void *event) { return drop(event, EVENT); }
int cuEventRecord(void *event, void *stream) {
    return object(event, EVENT) && object(stream, STREAM) ? SUCCESS : INVALID_HANDLE;
}
int cuEventQuery(void *event) { return object(event, EVENT) ? SUCCESS : INVALID_HANDLE; }
int cuEventSynchronize(void *event) { return object(event, EVENT) ? SUCCESS : INVALID_HANDLE; }
int cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t bytes, void *stream) { return copy(to, from, bytes, stream); }
int cuMemcpyDtoHAsync_v2(void *to, void *from, size_t bytes, void *stream) { return copy(to, from, bytes, stream); }
int cuStreamBeginCapture_v2(void *stream, int mode) {
    Object *s = object(stream, STREAM);
    if (!s || mode != 1) return INVALID_VALUE; // thread-local
    s->capturing = 1, s->copies = 0;
    return SUCCESS;
}
int cuStreamEndCapture(void *stream, void **graph) {
    Object *s = object(stream, STREAM);
    if (!s || !s->capturing) return INVALID_VALUE;
    s->capturing = 0;
    int code = make(graph, GRAPH);
    if (code == SUCCESS) memcpy(((Object *)*graph)->copy, s->copy, sizeof s->copy), ((Object *)*graph)->copies = s->copies;
    return code;
}
int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags) {
    Object *g = object(graph, GRAPH);
    if (!g || flags) return INVALID_VALUE;
    int code = make(executable, EXECUTABLE);
    if (code == SUCCESS) memcpy(((Object *)*executable)->copy, g->copy, sizeof g->copy), ((Object *)*executable)->copies = g->copies;
    return code;
}
int cuGraphLaunch(void *executable, void *stream) {
    Object *e = object(executable, EXECUTABLE);
    if (!e || !object(stream, STREAM)) return INVALID_HANDLE;
    for (int i = 0; i < e->copies; ++i) memcpy(e->copy[i].to, e->copy[i].from, e->copy[i].bytes);
    return SUCCESS;
}
int cuGraphDestroy(void *graph) { return drop(graph, GRAPH); }
int cuGraphExecDestroy(void *executable) { return drop(executable, EXECUTABLE); }
int cuGetErrorString(int code, const char **text) {
    *text = code == OUT_OF_MEMORY ? "out of memory" : code == INVALID_CONTEXT ? "invalid device context" : "an error";
    return SUCCESS;
}
int cuGetErrorName(int code, const char **text) { return cuGetErrorString(code, text); }

int cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, int *status) {
    static const char *const endings[] = {"_v2", "WithFlags", ""};
    char name[128];
    (void)version, (void)flags;
    for (int i = 0; i < 3; ++i) {
        snprintf(name, sizeof name, "%s%s", symbol, endings[i]);
        *function = dlsym(RTLD_DEFAULT, name);
        if (!*function) {
            void *self = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
            *function = self ? dlsym(self, name) : NULL;
        }
        if (*function) break;
    }
    if (status) *status = *function ? 0 : 1;
    return *function ? SUCCESS : NOT_FOUND;
}
int cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags) {
    return cuGetProcAddress_v2(symbol, function, version, flags, NULL);
}
