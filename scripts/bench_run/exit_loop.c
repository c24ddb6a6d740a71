/* The loop of exit_loop.ts in C: a guest that writes to a port for ever, and what handles it. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

static volatile uint32_t written;

static void device_write(uint32_t value) { written += value; }

int main(int count, char **arguments) {
  long exits = count > 1 ? atol(arguments[1]) : 20000;
  int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  int vm = ioctl(kvm, KVM_CREATE_VM, 0);
  uint8_t *ram = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  /* mov dx, 0x80; again: out dx, al; jmp again */
  static const uint8_t code[] = {0xba, 0x80, 0x00, 0xee, 0xeb, 0xfd};
  memcpy(ram, code, sizeof code);
  struct kvm_userspace_memory_region region = {
      .memory_size = 4096, .userspace_addr = (uintptr_t)ram};
  ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
  int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  struct kvm_run *run = mmap(0, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE,
                             MAP_SHARED, vcpu, 0);
  struct kvm_sregs sregs;
  ioctl(vcpu, KVM_GET_SREGS, &sregs);
  sregs.cs.base = 0;
  sregs.cs.selector = 0;
  ioctl(vcpu, KVM_SET_SREGS, &sregs);
  struct kvm_regs regs = {.rax = 1, .rflags = 2};
  ioctl(vcpu, KVM_SET_REGS, &regs);
  struct timespec began, ended;
  for (long i = -exits; i < exits; i++) {
    if (i == 0) clock_gettime(CLOCK_MONOTONIC, &began);
    if (ioctl(vcpu, KVM_RUN, 0) < 0) return perror("KVM_RUN"), 1;
    if (run->exit_reason != KVM_EXIT_IO || run->io.port != 0x80) return 2;
    device_write(((uint8_t *)run)[run->io.data_offset]);
  }
  clock_gettime(CLOCK_MONOTONIC, &ended);
  double ns = (ended.tv_sec - began.tv_sec) * 1e9 + (ended.tv_nsec - began.tv_nsec);
  printf("%.0f\n", ns / exits);
  return 0;
}
