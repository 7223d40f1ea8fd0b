#define _GNU_SOURCE
#include <errno.h>
#include <unistd.h>

#include "doorbell_setup.h"
#include "pymmio/arch/fault.h"

/* One number of the doorbell's width, as memory will hold it. */
typedef union {
    uint16_t v16;
    uint32_t v32;
} cell_t;

static cell_t to_device(const pm_doorbell *self, uint32_t value)
{
    cell_t cell = {0};

    if (self->width == 2)
        cell.v16 = self->byteswap ? __builtin_bswap16((uint16_t)value) : (uint16_t)value;
    else
        cell.v32 = self->byteswap ? __builtin_bswap32(value) : value;
    return cell;
}

/* Who asks later may be another thread. */
static int keep_why(pm_doorbell *self, int error)
{
    struct pm_fault fault = pm_last_fault();

    self->error = fault.error;
    self->cc = fault.cc;
    self->status = fault.status;
    return error;
}

static int ring_mapped(pm_doorbell *self, uint32_t value)
{
    volatile uint8_t *at = self->mapping->base + self->offset;
    cell_t cell = to_device(self, value);
    int error = pm_mapping_enter(self->mapping);

    if (error)
        return error;
    if (self->width == 2)
        error = PM_STORE(16, self->mapping->way, at, cell.v16);
    else
        error = PM_STORE(32, self->mapping->way, at, cell.v32);
    pm_mapping_leave(self->mapping);
    self->rings++;
    return error == PM_ERRNO || error == PM_MIO ? keep_why(self, error) : error;
}

static int ring_syscall(pm_doorbell *self, uint32_t value)
{
    cell_t cell = to_device(self, value);
    ssize_t n;

    if (self->fd < 0)
        return PM_CLOSED;
    n = pwrite(self->fd, &cell, self->width, (off_t)self->file_offset);
    self->rings++;
    if (n == (ssize_t)self->width)
        return PM_OK;
    self->error = n < 0 ? errno : EIO;
    return PM_ERRNO;
}

/* The last value stands for all before it, as with a register that is written again. */
static int ring_python(pm_doorbell *self, uint32_t value)
{
    self->pending = value;
    self->has_pending = 1;
    self->rings++;
    return PM_OK;
}

static int ring_closed(pm_doorbell *self, uint32_t value)
{
    (void)self;
    (void)value;
    return PM_CLOSED;
}

void pm_doorbell_set_mapped(pm_doorbell *db, pm_mapping *mapping, uint64_t offset, int byteswap)
{
    db->mapping = mapping;
    db->offset = offset;
    db->byteswap = (uint32_t)byteswap;
    db->ring = ring_mapped;
}

void pm_doorbell_set_syscall(pm_doorbell *db, int fd, uint64_t file_offset, int byteswap)
{
    db->fd = fd;
    db->file_offset = file_offset;
    db->byteswap = (uint32_t)byteswap;
    db->ring = ring_syscall;
}

void pm_doorbell_set_python(pm_doorbell *db) { db->ring = ring_python; }

void pm_doorbell_set_closed(pm_doorbell *db) { db->ring = ring_closed; }

int pm_doorbell_ring(pm_doorbell *db, uint32_t value) { return db->ring(db, value); }
