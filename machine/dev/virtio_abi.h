/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtio's numbers. Source: Virtual I/O Device (VIRTIO) Version 1.2, OASIS; the section is named at each group. */
#ifndef OOH_MACHINE_DEV_VIRTIO_ABI_H
#define OOH_MACHINE_DEV_VIRTIO_ABI_H

/* 4.1.2 "PCI Device Discovery", 5 "Device Types" */
#define VIRTIO_VENDOR 0x1af4
#define VIRTIO_DEVICE(type) (0x1040 + (type))
#define VIRTIO_NET 1
#define VIRTIO_BLOCK 2
#define VIRTIO_ENTROPY 4

/* 2.1 "Device Status Field" */
#define VIRTIO_DRIVER_OK   0x04
#define VIRTIO_FEATURES_OK 0x08
#define VIRTIO_NEEDS_RESET 0x40

/* 6 "Reserved Feature Bits" */
#define VIRTIO_F_INDIRECT  (1ull << 28)
#define VIRTIO_F_EVENT_IDX (1ull << 29)
#define VIRTIO_F_VERSION_1 (1ull << 32)

/* 4.1.4 "Virtio Structure PCI Capabilities" */
#define VIRTIO_CAP_COMMON 1
#define VIRTIO_CAP_NOTIFY 2
#define VIRTIO_CAP_ISR    3
#define VIRTIO_CAP_DEVICE 4
#define VIRTIO_CAP_PCI    5
#define VIRTIO_CAP_BYTES  16 /* of the two with one word more: 20 */

/* 4.1.4.3 "Common configuration structure layout": byte offsets. */
#define VIRTIO_DEVICE_FEATURE_SELECT 0
#define VIRTIO_DEVICE_FEATURE 4
#define VIRTIO_DRIVER_FEATURE_SELECT 8
#define VIRTIO_DRIVER_FEATURE 12
#define VIRTIO_CONFIG_VECTOR 16
#define VIRTIO_QUEUES       18
#define VIRTIO_STATUS       20
#define VIRTIO_GENERATION   21
#define VIRTIO_QUEUE_SELECT 22
#define VIRTIO_QUEUE_SIZE   24
#define VIRTIO_QUEUE_VECTOR 26
#define VIRTIO_QUEUE_ENABLE 28
#define VIRTIO_QUEUE_NOTIFY 30
#define VIRTIO_QUEUE_DESC   32
#define VIRTIO_QUEUE_DRIVER 40
#define VIRTIO_QUEUE_DEVICE 48
#define VIRTIO_COMMON_BYTES 56
#define VIRTIO_NO_VECTOR 0xffff

/* 4.1.4.5 "ISR status capability" */
#define VIRTIO_ISR_QUEUE  1
#define VIRTIO_ISR_CONFIG 2

/* 2.7.5 "The Virtqueue Descriptor Table" */
#define VIRTQ_NEXT     1
#define VIRTQ_WRITE    2
#define VIRTQ_INDIRECT 4
#define VIRTQ_DESC_BYTES 16
/* 2.7.6 "The Virtqueue Available Ring" */
#define VIRTQ_NO_INTERRUPT 1

/* 5.2 "Block Device" */
#define VIRTIO_BLK_F_SEG_MAX  (1ull << 2)
#define VIRTIO_BLK_F_RO       (1ull << 5)
#define VIRTIO_BLK_F_BLK_SIZE (1ull << 6)
#define VIRTIO_BLK_F_FLUSH    (1ull << 9)
#define VIRTIO_BLK_SEG_MAX_AT  12 /* in the device's configuration; 0: capacity in sectors */
#define VIRTIO_BLK_SIZE_AT     20
#define VIRTIO_BLK_CONFIG_BYTES 60
#define VIRTIO_BLK_IN     0
#define VIRTIO_BLK_OUT    1
#define VIRTIO_BLK_FLUSH  4
#define VIRTIO_BLK_GET_ID 8
#define VIRTIO_BLK_OK     0
#define VIRTIO_BLK_IOERR  1
#define VIRTIO_BLK_UNSUPPORTED 2
#define VIRTIO_BLK_HEADER 16
#define VIRTIO_BLK_ID_BYTES 20

/* 5.1 "Network Device" */
#define VIRTIO_NET_F_MAC    (1ull << 5)
#define VIRTIO_NET_F_STATUS (1ull << 16)
#define VIRTIO_NET_RX 0
#define VIRTIO_NET_TX 1
#define VIRTIO_NET_HEADER 12
#define VIRTIO_NET_LINK_UP 1
#define VIRTIO_NET_CONFIG_BYTES 8 /* MAC address, link status */

#endif
