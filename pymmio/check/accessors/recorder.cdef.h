/* What Python sees of the recorder (read by cffi, not by a C compiler). */

/* recorder.h */
typedef struct pm_recorded {
    uint64_t pc;
    uint64_t address;
    int32_t is_write;
    uint32_t code_size;
    uint8_t code[16];
} pm_recorded;
int pm_recorder_works(void);
int pm_recorder_start(void *base, size_t size);
long pm_recorder_stop(void);
const pm_recorded *pm_recorder_log(void);

/* tearing.h */
typedef struct pm_tearing {
    uint64_t rounds;
    uint64_t changes;
    uint64_t torn;
} pm_tearing;
int pm_writer_start(void *place, int width);
int pm_observer_start(void *place, int width);
pm_tearing pm_tearing_stop(void);
uint64_t pm_tearing_rounds(void);

/* specimens.h */
uint8_t pm_plain_read8(const void *place);
void pm_plain_write8(void *place, uint8_t value);
uint16_t pm_plain_read16(const void *place);
void pm_plain_write16(void *place, uint16_t value);
uint32_t pm_plain_read32(const void *place);
void pm_plain_write32(void *place, uint32_t value);
uint64_t pm_plain_read64(const void *place);
void pm_plain_write64(void *place, uint64_t value);
uint8_t pm_builtin_read8(const void *place);
void pm_builtin_write8(void *place, uint8_t value);
uint16_t pm_builtin_read16(const void *place);
void pm_builtin_write16(void *place, uint16_t value);
uint32_t pm_builtin_read32(const void *place);
void pm_builtin_write32(void *place, uint32_t value);
uint64_t pm_builtin_read64(const void *place);
void pm_builtin_write64(void *place, uint64_t value);
uint8_t pm_bytewise_read8(const void *place);
void pm_bytewise_write8(void *place, uint8_t value);
uint16_t pm_bytewise_read16(const void *place);
void pm_bytewise_write16(void *place, uint16_t value);
uint32_t pm_bytewise_read32(const void *place);
void pm_bytewise_write32(void *place, uint32_t value);
uint64_t pm_bytewise_read64(const void *place);
void pm_bytewise_write64(void *place, uint64_t value);
uint8_t pm_doubled_read8(const void *place);
void pm_doubled_write8(void *place, uint8_t value);
uint16_t pm_doubled_read16(const void *place);
void pm_doubled_write16(void *place, uint16_t value);
uint32_t pm_doubled_read32(const void *place);
void pm_doubled_write32(void *place, uint32_t value);
uint64_t pm_doubled_read64(const void *place);
void pm_doubled_write64(void *place, uint64_t value);
void pm_halves_write16(void *place, uint16_t value);
void pm_halves_write32(void *place, uint32_t value);
void pm_halves_write64(void *place, uint64_t value);
void pm_libc_memcpy(void *to, const void *from, size_t size);
const char *pm_compiler(void);
void pm_mark(void *place);

/* memory at a place that is known before */
#define PROT_READ ...
#define PROT_WRITE ...
#define MAP_SHARED ...
void *mmap(void *address, size_t length, int prot, int flags, int fd, int64_t offset);
