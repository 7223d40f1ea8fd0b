/* How Python prepares doorbells; engines need doorbell.h only. */
#ifndef PYMMIO_MMIO_DOORBELL_SETUP_H
#define PYMMIO_MMIO_DOORBELL_SETUP_H

#include "doorbell.h"
#include "mapping.h"

void pm_doorbell_set_mapped(pm_doorbell *db, pm_mapping *mapping, uint64_t offset, int byteswap);
void pm_doorbell_set_syscall(pm_doorbell *db, int fd, uint64_t file_offset, int byteswap);
void pm_doorbell_set_python(pm_doorbell *db);
void pm_doorbell_set_closed(pm_doorbell *db);
int pm_doorbell_ring(pm_doorbell *db, uint32_t value);

#endif
