#include "specimens.h"

#include <string.h>

/* A place that may not be aligned: the plain access across a cache line is the known-torn one. */
#define ANY(bits) uint##bits##_t __attribute__((aligned(1), may_alias))

#define PLAIN(bits, type)                                                     \
    uint##bits##_t pm_plain_read##bits(const void *place)                     \
    {                                                                         \
        return *(const volatile type *)place;                                 \
    }                                                                         \
    void pm_plain_write##bits(void *place, uint##bits##_t value)              \
    {                                                                         \
        *(volatile type *)place = value;                                      \
    }

/* Not aligned, a strict machine would need several: there the plain one is the aligned one. */
#if defined(__x86_64__) || defined(__aarch64__) || defined(__powerpc64__) || defined(__s390x__)
#define PLACE(bits) any##bits
typedef ANY(16) any16;
typedef ANY(32) any32;
typedef ANY(64) any64;
#else
#define PLACE(bits) uint##bits##_t
#endif

PLAIN(8, uint8_t)
PLAIN(16, PLACE(16))
PLAIN(32, PLACE(32))
PLAIN(64, PLACE(64))

#define BUILTIN(bits)                                                         \
    uint##bits##_t pm_builtin_read##bits(const void *place)                   \
    {                                                                         \
        uint##bits##_t value;                                                 \
        __builtin_memcpy(&value, place, sizeof(value));                       \
        return value;                                                         \
    }                                                                         \
    void pm_builtin_write##bits(void *place, uint##bits##_t value)            \
    {                                                                         \
        __builtin_memcpy(place, &value, sizeof(value));                       \
    }

BUILTIN(8) BUILTIN(16) BUILTIN(32) BUILTIN(64)

#define BYTEWISE(bits)                                                        \
    uint##bits##_t pm_bytewise_read##bits(const void *place)                  \
    {                                                                         \
        const volatile uint8_t *from = place;                                 \
        uint64_t value = 0;                                                   \
        _Pragma("GCC unroll 8") for (unsigned i = 0; i < bits / 8; i++)       \
            value |= (uint64_t)from[i] << 8 * i;                              \
        return (uint##bits##_t)value;                                         \
    }                                                                         \
    void pm_bytewise_write##bits(void *place, uint##bits##_t value)           \
    {                                                                         \
        volatile uint8_t *to = place;                                         \
        _Pragma("GCC unroll 8") for (unsigned i = 0; i < bits / 8; i++)       \
            to[i] = (uint8_t)((uint64_t)value >> 8 * i);                      \
    }

BYTEWISE(8) BYTEWISE(16) BYTEWISE(32) BYTEWISE(64)

#define DOUBLED(bits)                                                         \
    uint##bits##_t pm_doubled_read##bits(const void *place)                   \
    {                                                                         \
        const volatile uint##bits##_t *from = place;                          \
        uint##bits##_t first = *from;                                         \
        return first | *from;                                                 \
    }                                                                         \
    void pm_doubled_write##bits(void *place, uint##bits##_t value)            \
    {                                                                         \
        volatile uint##bits##_t *to = place;                                  \
        *to = value;                                                          \
        *to = value;                                                          \
    }

DOUBLED(8) DOUBLED(16) DOUBLED(32) DOUBLED(64)

#define HALVES(bits, half)                                                    \
    void pm_halves_write##bits(void *place, uint##bits##_t value)             \
    {                                                                         \
        union { uint##bits##_t whole; uint##half##_t part[2]; } of = {value}; \
        volatile uint##half##_t *to = place;                                  \
        to[0] = of.part[0];                                                   \
        for (volatile int i = 0; i < 16; i++)                                 \
            ;                                                                 \
        to[1] = of.part[1];                                                   \
    }

HALVES(16, 8) HALVES(32, 16) HALVES(64, 32)

void pm_libc_memcpy(void *to, const void *from, size_t size)
{
    void *(*volatile copy)(void *, const void *, size_t) = memcpy; /* not the compiler's own */

    copy(to, from, size);
}

const char *pm_compiler(void)
{
#if defined(__clang__)
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}

void pm_mark(void *place) { *(volatile uint8_t *)place = 1; }
