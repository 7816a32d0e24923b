# SPDX-License-Identifier: Apache-2.0
# A toolchain: programs for aarch64 with Debian's cross compiler, run by qemu's user mode with every extension it knows. With
# AARCH64_SYSROOT, a folder with Debian's arm64 packages, programs use the libraries there; else they are static.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -cpu max)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES AARCH64_SYSROOT)
if(AARCH64_SYSROOT)
  set(CMAKE_SYSROOT ${AARCH64_SYSROOT})
  set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
  set(library_folder ${AARCH64_SYSROOT}/usr/lib/aarch64-linux-gnu)
  # Libraries of libraries, some of which (BLAS, by Debian's alternatives) no link names.
  set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wl,-rpath-link,${library_folder}:${AARCH64_SYSROOT}/lib/aarch64-linux-gnu -Wl,--allow-shlib-undefined")
  set(ENV{PKG_CONFIG_LIBDIR} ${library_folder}/pkgconfig)
  set(ENV{PKG_CONFIG_SYSROOT_DIR} ${AARCH64_SYSROOT})
  list(APPEND CMAKE_CROSSCOMPILING_EMULATOR -L ${AARCH64_SYSROOT})
else()
  set(CMAKE_EXE_LINKER_FLAGS_INIT -static)
endif()
