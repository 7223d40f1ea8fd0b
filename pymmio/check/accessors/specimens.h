/* Accesses whose verdict is known, and what a compiler makes of __builtin_memcpy.
 *
 * The names are exported: the static proof looks them up in this library.
 */
#ifndef PYMMIO_CHECK_SPECIMENS_H
#define PYMMIO_CHECK_SPECIMENS_H

#include <stddef.h>
#include <stdint.h>

#define PM_EXPORT __attribute__((visibility("default"), noinline))
#define PM_ACCESS(name)                                                        \
    PM_EXPORT uint8_t pm_##name##_read8(const void *place);                    \
    PM_EXPORT uint16_t pm_##name##_read16(const void *place);                  \
    PM_EXPORT uint32_t pm_##name##_read32(const void *place);                  \
    PM_EXPORT uint64_t pm_##name##_read64(const void *place);                  \
    PM_EXPORT void pm_##name##_write8(void *place, uint8_t value);             \
    PM_EXPORT void pm_##name##_write16(void *place, uint16_t value);           \
    PM_EXPORT void pm_##name##_write32(void *place, uint32_t value);           \
    PM_EXPORT void pm_##name##_write64(void *place, uint64_t value);

PM_ACCESS(plain)    /* one volatile access: exact */
PM_ACCESS(builtin)  /* __builtin_memcpy of a constant size */
PM_ACCESS(bytewise) /* volatile bytes, one after the other: split */
PM_ACCESS(doubled)  /* the same volatile access twice: repeated */

/* Two stores of half the width with a pause between: split, and torn where anything is. */
PM_EXPORT void pm_halves_write16(void *place, uint16_t value);
PM_EXPORT void pm_halves_write32(void *place, uint32_t value);
PM_EXPORT void pm_halves_write64(void *place, uint64_t value);

/* memcpy of the C library, by a size that the compiler does not know. */
PM_EXPORT void pm_libc_memcpy(void *to, const void *from, size_t size);

/* The compiler that made the functions above. */
PM_EXPORT const char *pm_compiler(void);

/* Store one byte: a mark in a recorded stream. */
PM_EXPORT void pm_mark(void *place);

#endif
