/* riscv64: CBO.CLEAN of Zicbom, where the kernel allows it to programs (RISC-V CMO extensions
 * 1.0 §2.3; Linux, Documentation/arch/riscv/hwprobe.rst). */
#ifndef PYMMIO_ARCH_RISCV64_PERSIST_H
#define PYMMIO_ARCH_RISCV64_PERSIST_H

#include <sys/syscall.h>
#include <unistd.h>

#define PM_SYS_RISCV_HWPROBE 258
#define PM_HWPROBE_IMA_EXT_0 4
#define PM_HWPROBE_EXT_ZICBOM (1ull << 55)
#define PM_HWPROBE_ZICBOM_BLOCK_SIZE 12

struct pm_hwprobe {
    int64_t key;
    uint64_t value;
};

static inline uint64_t pm_hwprobe(int64_t key)
{
    struct pm_hwprobe pair = {key, 0};

    if (syscall(PM_SYS_RISCV_HWPROBE, &pair, 1ul, 0ul, 0ul, 0u) != 0 || pair.key != key)
        return 0;
    return pair.value;
}

static inline int pm_wb_detect(void)
{
    return pm_hwprobe(PM_HWPROBE_IMA_EXT_0) & PM_HWPROBE_EXT_ZICBOM ? PM_WB_CBO_CLEAN
                                                                     : PM_WB_NONE;
}

static inline size_t pm_wb_line_size(void)
{
    uint64_t size = pm_hwprobe(PM_HWPROBE_ZICBOM_BLOCK_SIZE);

    return size >= 16 && size <= 4096 ? (size_t)size : 64;
}

static inline void pm_wb_line(int kind, const char *p)
{
    register const char *at __asm__("a0") = p;

    (void)kind;
    __asm__ volatile(".word 0x0015200f" ::"r"(at) : "memory"); /* cbo.clean (a0) */
}

static inline void pm_wb_fence(int kind)
{
    (void)kind;
    __asm__ volatile("fence rw, rw" ::: "memory");
}

#endif
