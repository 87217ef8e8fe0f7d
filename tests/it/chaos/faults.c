/* A machine at its worst. Put between a program and its system (LD_PRELOAD), this does what a page of memory says that
 * the test writes: the clock is off, the disk is full, each sync takes its time. It counts what it did, so that a test
 * knows that the fault took place. The page's fields are those of faults.rs. */
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
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct page {
  int64_t clock_seconds, disk_full, sync_microseconds;
  int64_t clock_hits, disk_hits, sync_hits;
};

static struct page nothing;
static volatile struct page *page = &nothing;
/* Where the page lies the data lie, and nothing else that a full disk should hit. */
static dev_t device;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("FAULTS_PAGE");
  struct stat is;
  int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *at = mmap(NULL, sizeof nothing, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at != MAP_FAILED && fstat(fd, &is) == 0) {
    device = is.st_dev;
    page = at;
  }
  close(fd);
}

/* The clock. Only that which people read: what programs measure durations with goes on as it was. */

static int64_t off(void) {
  if (page->clock_seconds) __atomic_add_fetch(&page->clock_hits, 1, __ATOMIC_RELAXED);
  return page->clock_seconds;
}

int clock_gettime(clockid_t id, struct timespec *now) {
  int rc = syscall(SYS_clock_gettime, id, now);
  if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += off();
  return rc;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  int rc = syscall(SYS_gettimeofday, now, zone);
  if (rc == 0) now->tv_sec += off();
  return rc;
}

time_t time(time_t *at) {
  struct timespec now;
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
  time_t seconds = now.tv_sec + off();
  if (at) *at = seconds;
  return seconds;
}

/* The disk. Full means that no file on it grows; what is there already can be written over, as on a real one. */

static int is_full(int fd, off_t end) {
  struct stat is;
  if (!page->disk_full || fd <= 2) return 0;
  if (fstat(fd, &is) != 0 || !S_ISREG(is.st_mode) || is.st_dev != device || end <= is.st_size) return 0;
  __atomic_add_fetch(&page->disk_hits, 1, __ATOMIC_RELAXED);
  return 1;
}

static int refused(void) {
  errno = ENOSPC;
  return -1;
}

ssize_t write(int fd, const void *from, size_t count) {
  if (page->disk_full && is_full(fd, lseek(fd, 0, SEEK_CUR) + (off_t)count)) return refused();
  return syscall(SYS_write, fd, from, count);
}

ssize_t pwrite(int fd, const void *from, size_t count, off_t at) {
  if (is_full(fd, at + (off_t)count)) return refused();
  return syscall(SYS_pwrite64, fd, from, count, at);
}

ssize_t pwritev(int fd, const struct iovec *from, int many, off_t at) {
  off_t end = at;
  for (int i = 0; i < many; i++) end += from[i].iov_len;
  if (is_full(fd, end)) return refused();
  /* The system takes the place in two halves; on 64 bits the first holds it all. */
  return syscall(SYS_pwritev, fd, from, many, at, 0);
}

int posix_fallocate(int fd, off_t at, off_t count) {
  static int (*real)(int, off_t, off_t);
  if (is_full(fd, at + count)) return ENOSPC;
  if (!real) real = (int (*)(int, off_t, off_t))dlsym(RTLD_NEXT, "posix_fallocate");
  return real(fd, at, count);
}

ssize_t pwrite64(int fd, const void *from, size_t count, off_t at) { return pwrite(fd, from, count, at); }
ssize_t pwritev64(int fd, const struct iovec *from, int many, off_t at) { return pwritev(fd, from, many, at); }
int posix_fallocate64(int fd, off_t at, off_t count) { return posix_fallocate(fd, at, count); }

static int slowly(int rc) {
  int64_t wait = page->sync_microseconds;
  if (wait) {
    int error = errno;
    __atomic_add_fetch(&page->sync_hits, 1, __ATOMIC_RELAXED);
    usleep(wait);
    errno = error;
  }
  return rc;
}

int fsync(int fd) { return slowly(syscall(SYS_fsync, fd)); }
int fdatasync(int fd) { return slowly(syscall(SYS_fdatasync, fd)); }
