/* The contract of the queue engine, read by the C compiler and by cffi alike.
 *
 * One nvme_qp is a submission queue and the completion queue that belongs to it.  Its memory
 * comes from the caller (nvme_qp_size bytes, 8-aligned); nothing here allocates.  Calls on one
 * nvme_qp must not overlap, except nvme_qp_wait, nvme_qp_close and nvme_qp_users, which any
 * thread may make at any time while the queue memory is mapped. */

typedef struct nvme_qp nvme_qp;

/* Results below zero.  What a completion did wrong makes the queue broken: nothing is taken
 * from it or given to it any more until nvme_qp_reset. */
#define NVME_QP_BAD_CID -101      /* no command ever has this identifier */
#define NVME_QP_NOT_OUTSTANDING -102 /* a command that was completed before, or never sent */
#define NVME_QP_BAD_SQHD -103     /* SQ head outside the queue, or not between head and tail */
#define NVME_QP_BAD_SQID -104     /* completion of another submission queue */
#define NVME_QP_CLOSED -105       /* nvme_qp_close was called */
#define NVME_QP_BUSY -106         /* nvme_qp_run needs a queue without outstanding commands */
#define NVME_QP_DOORBELL -107     /* a doorbell could not be rung; see nvme_qp_doorbell_error */

/* One read, write, compare, write zeroes... : what the engine needs to build an SQE. */
typedef struct {
    uint64_t slba;
    uint64_t prp1;
    uint64_t prp2;
    uint32_t nsid;
    uint32_t cdw12; /* number of blocks minus 1 in bits 15:0, flags above */
    uint32_t cdw13;
    uint8_t opcode;
    uint8_t reserved[3];
} nvme_io;

typedef struct {
    uint64_t latency_ns;
    uint32_t result; /* DW0 */
    uint16_t status; /* Status field without the phase bit: SC 7:0, SCT 10:8, CRD, M, DNR */
    uint16_t cid;
} nvme_done;

/* The completion that broke the queue, as it was read. */
typedef struct {
    uint32_t result;
    uint16_t sqhd;
    uint16_t sqid;
    uint16_t cid;
    uint16_t status;
    uint32_t cq_head;
    uint32_t sq_head;
    uint32_t sq_tail;
} nvme_bad;

/* A measured loop: qd commands in flight, each with a buffer of its own. */
#define NVME_RUN_DONE 0
#define NVME_RUN_AGAIN 1   /* the slice is over: look for signals and call again */
#define NVME_RUN_DELIVER 2 /* a doorbell value waits for delivery: deliver and call again */
#define NVME_HISTOGRAM_SIZE 3776

typedef struct {
    /* what to do */
    uint64_t first_lba;
    uint64_t positions;        /* places of `blocks` blocks from first_lba on */
    uint64_t count;            /* commands to send; 0: until the deadline */
    uint64_t deadline_ns;      /* CLOCK_MONOTONIC after which nothing new is sent; 0: none */
    uint64_t stall_ns;         /* no completion for so long: NVME_RUN_AGAIN with stalled set */
    uint64_t seed;             /* not 0: random places and directions */
    const uint64_t *prps;      /* prp1, prp2 of each of the qd buffers */
    uint32_t nsid;
    uint32_t blocks;           /* 1 to 65536 */
    uint32_t qd;
    uint8_t random;
    uint8_t read_percent;
    uint8_t reserved[2];
    /* what happened */
    uint64_t submitted;
    uint64_t completed;
    uint64_t errors;
    uint64_t latency_sum_ns;
    uint64_t latency_max_ns;
    uint64_t first_error_lba;
    uint64_t last_progress_ns;
    uint64_t position;
    uint32_t histogram[NVME_HISTOGRAM_SIZE]; /* see nvme_histogram_index */
    uint32_t free_count;       /* buffers without a command; set up by nvme_run_init */
    uint16_t first_error;
    uint8_t stalled;
    uint8_t started;
} nvme_run;

size_t nvme_qp_size(uint32_t slots);
int nvme_qp_init(nvme_qp *qp, uint16_t qid, uint32_t depth, uintptr_t sq_memory,
                 uintptr_t cq_memory, uintptr_t sq_doorbell, uintptr_t cq_doorbell);
void nvme_qp_reset(nvme_qp *qp);
int nvme_qp_space(const nvme_qp *qp);
uint32_t nvme_qp_outstanding(const nvme_qp *qp);
int nvme_qp_submit_io(nvme_qp *qp, const nvme_io *io, uint32_t count, uint16_t *cids);
int nvme_qp_submit_raw(nvme_qp *qp, const uint8_t *sqes, uint32_t count, uint16_t *cids);
int nvme_qp_reap(nvme_qp *qp, nvme_done *done, uint32_t max);
uint32_t nvme_qp_events(const nvme_qp *qp);
int nvme_qp_wait(nvme_qp *qp, uint32_t events_seen, uint64_t timeout_ns);
int nvme_qp_close(nvme_qp *qp);
uint32_t nvme_qp_cq_state(const nvme_qp *qp); /* CQ head; bit 31: the phase that is awaited */
uint32_t nvme_qp_users(const nvme_qp *qp);
void nvme_qp_bad(const nvme_qp *qp, nvme_bad *bad);
int nvme_qp_doorbell_error(const nvme_qp *qp);  /* the PM_* code of the ring that failed */
int nvme_qp_failed_doorbell(const nvme_qp *qp); /* 0: that of the SQ; 1: that of the CQ */
int nvme_qp_run(nvme_qp *qp, nvme_run *run, uint32_t *free_buffers, uint64_t slice_ns);
uint32_t nvme_histogram_index(uint64_t ns);
uint64_t nvme_histogram_value(uint32_t index);
