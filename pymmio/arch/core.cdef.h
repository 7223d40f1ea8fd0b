/* What Python sees of the C core (read by cffi, not by a C compiler). */

#define PM_OK ...
#define PM_FAULT ...
#define PM_REFUSED ...
#define PM_CLOSED ...
#define PM_TIMEOUT ...
#define PM_AGAIN ...
#define PM_ERRNO ...
#define PM_MIO ...

/* arch/fault.h */
struct pm_fault {
    int signal;
    int code;
    uint64_t address;
    int cc;
    int status;
    int error;
};
#define PM_NO_STATUS ...
#define PM_HANDLER_NONE ...
#define PM_HANDLER_OURS ...
#define PM_HANDLER_OTHER ...
int pm_fault_install(void);
int pm_fault_state(int signal_number);
struct pm_fault pm_last_fault(void);
size_t pm_ex_count(void);

/* arch/io.h: ways and barriers */
#define PM_WAY_LOAD ...
#define PM_WAY_MIO ...
#define PM_WAY_SYSCALL ...
uint32_t pm_pci_ways(void);
void pm_dma_wmb(void);
void pm_dma_rmb(void);
void pm_dma_mb(void);
void pm_mmio_wmb(void);

/* mmio/mapping.h */
typedef struct pm_mapping {
    volatile uint8_t *base;
    size_t size;
    uint32_t users;
    uint32_t closing;
    uint32_t way;
} pm_mapping;
int pm_read(pm_mapping *m, size_t offset, int width, uint64_t *value);
int pm_write(pm_mapping *m, size_t offset, int width, uint64_t value);
int pm_wait(pm_mapping *m, size_t offset, int width, int swap, uint64_t mask, uint64_t wanted,
            int64_t deadline_ns, int64_t slice_ns, uint64_t *last);
int pm_copy_from(pm_mapping *m, size_t offset, void *to, size_t size, int width, size_t *moved);
int pm_copy_to(pm_mapping *m, size_t offset, const void *from, size_t size, int width,
               size_t *moved);
int pm_copy_combined(pm_mapping *m, size_t offset, const void *from, size_t size,
                     size_t *moved);

/* arch/persist.h, mmio/plain.h */
#define PM_WB_NONE ...
#define PM_WB_CLFLUSH ...
#define PM_WB_CLFLUSHOPT ...
#define PM_WB_CLWB ...
#define PM_WB_DC_CVAC ...
#define PM_WB_DC_CVAP ...
#define PM_WB_DCBST ...
#define PM_WB_DCBSTPS ...
#define PM_WB_CBO_CLEAN ...
#define PM_WB_NOT_NEEDED ...
#define PM_PLAIN_NOCACHE ...
#define PM_PLAIN_UNGUARDED ...
int pm_plain_copy(void *to, const void *from, size_t size, int flags, size_t *moved);
int pm_plain_fill(void *to, size_t size, int flags, size_t *moved);
int pm_write_back(const void *p, size_t size);
int pm_write_back_kind(void);

/* mmio/doorbell.h */
typedef struct pm_doorbell {
    struct pm_mapping *mapping;
    uint64_t offset;
    int fd;
    uint64_t file_offset;
    int error;
    int cc;
    int status;
    uint32_t pending;
    uint32_t has_pending;
    uint32_t byteswap;
    uint32_t width;
    uint64_t rings;
    ...;
} pm_doorbell;
void pm_doorbell_set_mapped(pm_doorbell *db, pm_mapping *mapping, uint64_t offset, int byteswap);
void pm_doorbell_set_syscall(pm_doorbell *db, int fd, uint64_t file_offset, int byteswap);
void pm_doorbell_set_python(pm_doorbell *db);
void pm_doorbell_set_closed(pm_doorbell *db);
int pm_doorbell_ring(pm_doorbell *db, uint32_t value);

/* backend/served/words.h */
struct pollfd {
    int fd;
    short events;
    short revents;
    ...;
};
typedef struct pm_words {
    uint32_t *base;
    size_t count;
} pm_words;
#define PM_WORDS_WRITTEN ...
#define PM_WORDS_READY ...
void pm_words_clear(pm_words *words);
int pm_words_take(pm_words *words, uint32_t *places, uint32_t *values, int room);
int pm_words_wait(pm_words *areas, int area_count, struct pollfd *fds, int fd_count,
                  int64_t spin_ns, int64_t least_pause_ns, int64_t most_pause_ns,
                  int64_t timeout_ns);

/* <sys/mman.h>: mappings without a second file descriptor, unlike Python's mmap */
#define PROT_READ ...
#define PROT_WRITE ...
#define MAP_SHARED ...
#define MADV_DONTFORK ...
void *mmap(void *address, size_t length, int prot, int flags, int fd, int64_t offset);
int munmap(void *address, size_t length);
int madvise(void *address, size_t length, int advice);
