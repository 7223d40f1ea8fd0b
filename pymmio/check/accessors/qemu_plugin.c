/* A plugin of QEMU's user emulation: writes down each access to watched memory.
 *
 * The program in the emulator says by accesses to a page of marks (argument marks=ADDRESS) where
 * the watched page is and when a recording begins and ends; see MarkRecorder in worker.py:
 *   marks + 0x100 + 16 * i + d   digit i (0 lowest) of the watched page's address is d
 *   marks + 0, marks + 1         begin, end
 * Each line of the file (argument out=PATH) is "B", "E", or "R offset width" or "W ...".
 *
 * The names are those of qemu-plugin.h, whose package not every system has; QEMU's
 * documentation, "QEMU TCG Plugins", describes them.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
#define NO_REGISTERS 0
#define READS_AND_WRITES 3

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*callback)(qemu_plugin_id_t,
                                                            struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
                                      void (*callback)(unsigned, qemu_plugin_meminfo_t, uint64_t,
                                                       void *),
                                      int flags, int accesses, void *data);
unsigned qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t info);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);

#ifndef API_VERSION
#define API_VERSION 1
#endif
__attribute__((visibility("default"))) int qemu_plugin_version = API_VERSION;

#define PAGE 4096
#define DIGITS 0x100

static uint64_t marks, watched;
static int out = -1;
static bool is_recording;

static void say(const char *line, size_t size)
{
    if (write(out, line, size) < 0)
        abort();
}

static void on_mark(uint64_t offset)
{
    if (offset >= DIGITS && offset < DIGITS + 256) {
        unsigned shift = 4 * (unsigned)((offset - DIGITS) / 16);
        watched &= ~(UINT64_C(15) << shift);
        watched |= (uint64_t)(offset % 16) << shift;
    } else if (offset == 0) {
        is_recording = true;
        say("B\n", 2);
    } else if (offset == 1) {
        is_recording = false;
        say("E\n", 2);
    }
}

static void on_access(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
    char line[64];
    int size;

    (void)cpu, (void)data;
    if (address - marks < PAGE) {
        on_mark(address - marks);
    } else if (is_recording && address - watched < PAGE) {
        size = snprintf(line, sizeof(line), "%c %" PRIu64 " %u\n",
                        qemu_plugin_mem_is_store(info) ? 'W' : 'R', address - watched,
                        1u << qemu_plugin_mem_size_shift(info));
        say(line, (size_t)size);
    }
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++)
        qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, i), on_access, NO_REGISTERS,
                                         READS_AND_WRITES, NULL);
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id,
                                                               const void *info, int argc,
                                                               char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "marks=", 6))
            marks = strtoull(argv[i] + 6, NULL, 0);
        else if (!strncmp(argv[i], "out=", 4))
            out = open(argv[i] + 4, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    }
    if (out < 0 || !marks)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
