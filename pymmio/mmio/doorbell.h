/* Doorbells for queue engines in C.
 *
 * An engine calls db->ring(db, value) and nothing else; the access itself is made inside
 * the core, whose exception table covers it.  value is in host byte order.
 */
#ifndef PYMMIO_MMIO_DOORBELL_H
#define PYMMIO_MMIO_DOORBELL_H

#include <stdint.h>

struct pm_mapping;
typedef struct pm_doorbell pm_doorbell;

struct pm_doorbell {
    int (*ring)(pm_doorbell *self, uint32_t value); /* PM_OK or another PM_* */
    struct pm_mapping *mapping;                     /* way 1: a store on a mapping */
    uint64_t offset;
    int fd;                                         /* way 2: an access with its own errno */
    uint64_t file_offset;
    int error;                                      /* errno after PM_ERRNO */
    int cc, status;                                 /* after PM_MIO: see struct pm_fault */
    uint32_t pending;                               /* way 3: Python writes it afterwards */
    uint32_t has_pending;
    uint32_t byteswap;
    uint32_t width;                                 /* bytes: 2 or 4 */
    uint64_t rings;                                 /* how often it was rung */
};

#endif
