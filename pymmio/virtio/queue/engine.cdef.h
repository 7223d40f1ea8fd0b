/* The contract of the virtqueue engine, read by the C compiler and by cffi alike.
 *
 * One vq is the driver's side of a virtqueue, split or packed (virtio 1.2 §2.7, §2.8).  Its
 * memory comes from the caller (vq_size bytes, 8-aligned); nothing here allocates.  Calls on one
 * vq must not overlap, except vq_wait, vq_close, vq_events and vq_users, which any thread may
 * make at any time while the ring's memory is mapped. */

typedef struct vq vq;

/* Results below zero.  What the device did wrong makes the queue broken: nothing is taken from
 * it or given to it any more until vq_reset. */
#define VQ_FULL -201            /* not enough free descriptors now; nothing was changed */
#define VQ_TOO_LONG -202        /* this buffer can never fit; nothing was changed */
#define VQ_CLOSED -203          /* vq_close was called */
#define VQ_DOORBELL -204        /* the notification failed; see vq_doorbell_error */
#define VQ_BAD_INDEX -205       /* used.idx is ahead of what was made available */
#define VQ_BAD_ID -206          /* an id that no descriptor of this queue has */
#define VQ_NOT_OUTSTANDING -207 /* an id that was used before, or never made available */
#define VQ_BAD_LENGTH -208      /* more bytes written than the buffer has for the device */

#define VQ_PACKED 1u            /* VIRTIO_F_RING_PACKED */
#define VQ_EVENT_IDX 2u         /* VIRTIO_F_EVENT_IDX */
#define VQ_INDIRECT 4u          /* VIRTIO_F_INDIRECT_DESC */
#define VQ_NOTIFICATION_DATA 8u /* VIRTIO_F_NOTIFICATION_DATA */

#define VQ_MAX_SIZE 32768       /* virtio 1.2 §2.6 */

/* Where a queue lies: addresses in this process.  indirect has num tables of indirect_max
 * descriptors of 16 bytes each, one for each buffer, and indirect_iova is where the device finds
 * them; both 0 without VQ_INDIRECT. */
typedef struct {
    uint32_t num;     /* descriptors; a power of two where split */
    uint32_t flags;   /* VQ_* */
    uint16_t index;   /* of the queue, for the notification */
    uint16_t indirect_max;
    uintptr_t desc;   /* descriptor table, or the packed ring */
    uintptr_t driver; /* available ring, or driver event suppression */
    uintptr_t device; /* used ring, or device event suppression */
    uintptr_t indirect;
    uint64_t indirect_iova;
    uintptr_t doorbell; /* pm_doorbell */
} vq_layout;

/* A piece of memory as the device sees it. */
typedef struct {
    uint64_t iova;
    uint32_t size; /* bytes, not 0 */
    uint32_t reserved;
} vq_piece;

/* A buffer that the device has used. */
typedef struct {
    uint32_t id;      /* as vq_add returned it */
    uint32_t written; /* bytes that the device says it wrote */
} vq_used;

/* What a broken queue was told. */
typedef struct {
    uint32_t id;
    uint32_t written;
    uint32_t writable;  /* bytes of that buffer; 0 where the id is wrong */
    uint16_t index;     /* used.idx, or the place in the packed ring */
    uint16_t last_used; /* what the engine had taken until then, or the wrap counter */
} vq_bad;

size_t vq_size(uint32_t num);
int vq_init(vq *q, const vq_layout *layout);
void vq_reset(vq *q);
int vq_space(const vq *q);
int vq_outstanding(const vq *q);
int vq_check(const vq *q, const vq_piece *pieces, uint32_t readable, uint32_t writable);
int vq_add(vq *q, const vq_piece *pieces, uint32_t readable, uint32_t writable);
int vq_kick(vq *q, int force);
int vq_reap(vq *q, vq_used *used, uint32_t max);
int vq_has_used(const vq *q);
int vq_interrupts(vq *q, int wanted);
int vq_wait(vq *q, uint32_t events_seen, uint64_t timeout_ns);
uint32_t vq_events(const vq *q);
void vq_wake(vq *q);
int vq_close(vq *q);
uint32_t vq_users(const vq *q);
uint32_t vq_position(const vq *q, int which);
uint64_t vq_kicks(const vq *q, int which);
int vq_doorbell_error(const vq *q);
void vq_what_was_bad(const vq *q, vq_bad *bad);
