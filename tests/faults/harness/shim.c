/* Loaded before libc into the programs under test: their clock can be set, and their disk made slow, from
 * outside. A file of two 64-bit numbers, named by FAULTS_CONTROL, says by how much: milliseconds that the time
 * of day is off, and microseconds that each write to a file takes longer. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct control {
    volatile int64_t off_ms;
    volatile int64_t slow_us;
};

static struct control *control;

__attribute__((constructor)) static void open_control(void) {
    const char *path = getenv("FAULTS_CONTROL");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *at = mmap(NULL, sizeof *control, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED) control = at;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* --- the time of day; clocks that measure spans stay as they are --- */

int clock_gettime(clockid_t id, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, id, now);
    if (!failed && control && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        int64_t ns = now->tv_sec * 1000000000 + now->tv_nsec + control->off_ms * 1000000;
        now->tv_sec = ns / 1000000000;
        now->tv_nsec = ns % 1000000000;
    }
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec exact;
    int failed = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *at) {
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

/* --- the disk; what is printed is let through --- */

static void wait_for_disk(int fd) {
    int64_t us = control ? control->slow_us : 0;
    struct stat file;
    if (us <= 0 || fd <= 2 || syscall(SYS_fstat, fd, &file) || !S_ISREG(file.st_mode)) return;
    struct timespec left = {us / 1000000, us % 1000000 * 1000};
    while (nanosleep(&left, &left) && errno == EINTR) {}
}

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(write);
    wait_for_disk(fd);
    return real(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    REAL(pwrite);
    wait_for_disk(fd);
    return real(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    REAL(pwrite64);
    wait_for_disk(fd);
    return real(fd, bytes, count, offset);
}

int fsync(int fd) {
    REAL(fsync);
    wait_for_disk(fd);
    return real(fd);
}

int fdatasync(int fd) {
    REAL(fdatasync);
    wait_for_disk(fd);
    return real(fd);
}
