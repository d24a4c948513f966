// SPDX-License-Identifier: GPL-2.0
/*
 * Driver of the device nic-lite (docs/devices.md): a network interface with four
 * queues, each with two rings of descriptors, its doorbells and its own MSI-X
 * vector. The card's wire is a loop: each queue receives what it sends.
 */
#include <linux/dma-mapping.h>
#include <linux/etherdevice.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pm_runtime.h>
#include <linux/rtnetlink.h>
#include <linux/workqueue.h>

#define NIC_ID			0x00
#define NIC_ID_VALUE		0x3043494e
#define NIC_CONTROL		0x04
#define NIC_CONTROL_WORKS	0x1
#define NIC_INTERRUPTS		0x08
#define NIC_ERRORS		0x0c
#define NIC_TX_RING(q)		(0x100 + 0x40 * (q))
#define NIC_RX_RING(q)		(0x108 + 0x40 * (q))
#define NIC_TX_SIZE(q)		(0x110 + 0x40 * (q))
#define NIC_RX_SIZE(q)		(0x114 + 0x40 * (q))
#define NIC_DROPPED(q)		(0x120 + 0x40 * (q))
#define NIC_TX_DOORBELL(q)	(0x1000 + 8 * (q))
#define NIC_RX_DOORBELL(q)	(0x1004 + 8 * (q))

#define NIC_DONE		0x1
#define NIC_TRUNCATED		0x4

#define NIC_QUEUES		4
/*
 * Descriptors of the rings, powers of two: index n of a ring is n modulo its
 * size. What is sent comes back at once, and finds a buffer.
 */
#define NIC_TX_ENTRIES		64
#define NIC_RX_ENTRIES		256
#define NIC_BUFFER		2048
/* When a queue that found no memory tries again. */
#define NIC_RETRY		(HZ / 10)

struct nic_desc {
	__le64 addr;
	__le32 len;
	__le32 flags;
};

/* What a descriptor stands for. The card can write descriptors, but not this. */
struct nic_buffer {
	struct sk_buff *skb;
	dma_addr_t addr;
};

/*
 * Heads and tails count on around the limit of 32 bits: from head to tail the
 * card has the descriptors.
 */
struct nic_ring {
	struct nic_desc *desc;
	dma_addr_t addr;
	struct nic_buffer *buffers;
	u32 size;
	u32 head;
	u32 tail;
};

struct nic_queue {
	struct net_device *dev;
	struct napi_struct napi;
	struct delayed_work refill;
	unsigned int number;
	struct nic_ring tx;
	struct nic_ring rx;
};

struct nic {
	struct pci_dev *pdev;
	struct net_device *dev;
	void __iomem *regs;
	struct work_struct restart;
	/* Packets for which the card had no buffer. */
	atomic64_t missed;
	struct nic_queue queues[NIC_QUEUES];
};

static u32 nic_room(const struct nic_ring *ring)
{
	return ring->size - (READ_ONCE(ring->tail) - READ_ONCE(ring->head));
}

/* The next descriptor, if the card is done with it. */
static struct nic_desc *nic_done(struct nic_ring *ring)
{
	struct nic_desc *desc = &ring->desc[ring->head % ring->size];

	if (ring->head == smp_load_acquire(&ring->tail))
		return NULL;
	if (!(READ_ONCE(desc->flags) & cpu_to_le32(NIC_DONE)))
		return NULL;
	/* The card sets the flag last; nothing is read before it. */
	dma_rmb();
	return desc;
}

/* Puts a packet, or room for one, into a ring that has room. */
static int nic_put(struct nic *nic, struct nic_ring *ring, struct sk_buff *skb, u32 len,
		   enum dma_data_direction direction)
{
	struct nic_desc *desc = &ring->desc[ring->tail % ring->size];
	dma_addr_t addr = dma_map_single(&nic->pdev->dev, skb->data, len, direction);

	if (dma_mapping_error(&nic->pdev->dev, addr))
		return -ENOMEM;
	desc->addr = cpu_to_le64(addr);
	desc->len = cpu_to_le32(len);
	desc->flags = 0;
	ring->buffers[ring->tail % ring->size] = (struct nic_buffer){ skb, addr };
	/* Whoever sees the tail sees the descriptor. */
	smp_store_release(&ring->tail, ring->tail + 1);
	return 0;
}

/* Takes the oldest one out again. */
static struct sk_buff *nic_take(struct nic *nic, struct nic_ring *ring, u32 len,
				enum dma_data_direction direction)
{
	struct nic_buffer buffer = ring->buffers[ring->head % ring->size];

	dma_unmap_single(&nic->pdev->dev, buffer.addr, len, direction);
	WRITE_ONCE(ring->head, ring->head + 1);
	return buffer.skb;
}

static struct sk_buff *nic_take_sent(struct nic *nic, struct nic_ring *ring)
{
	return nic_take(nic, ring, ring->buffers[ring->head % ring->size].skb->len, DMA_TO_DEVICE);
}

/* Has the queue polled without an interrupt. */
static void nic_schedule(struct nic_queue *queue)
{
	local_bh_disable();
	napi_schedule(&queue->napi);
	local_bh_enable();
}

/*
 * Gives the card all the buffers that there is room for. A card without buffers
 * never interrupts: if memory is short, the queue is polled again later.
 */
static void nic_give_buffers(struct nic *nic, struct nic_queue *queue)
{
	struct nic_ring *rx = &queue->rx;
	u32 before = rx->tail;
	struct sk_buff *skb;

	while (nic_room(rx)) {
		skb = netdev_alloc_skb_ip_align(queue->dev, NIC_BUFFER);
		if (!skb)
			break;
		if (nic_put(nic, rx, skb, NIC_BUFFER, DMA_FROM_DEVICE)) {
			dev_kfree_skb_any(skb);
			break;
		}
	}
	if (rx->tail != before)
		iowrite32(rx->tail, nic->regs + NIC_RX_DOORBELL(queue->number));
	if (nic_room(rx))
		schedule_delayed_work(&queue->refill, NIC_RETRY);
}

static void nic_refill(struct work_struct *work)
{
	nic_schedule(container_of(work, struct nic_queue, refill.work));
}

static int nic_receive(struct nic *nic, struct nic_queue *queue, int budget)
{
	struct nic_desc *desc;
	struct sk_buff *skb;
	u32 len, flags;
	int count;

	for (count = 0; count < budget; count++) {
		desc = nic_done(&queue->rx);
		if (!desc)
			break;
		/* Read once: the card may write them again after they are checked. */
		len = le32_to_cpu(READ_ONCE(desc->len));
		flags = le32_to_cpu(READ_ONCE(desc->flags));
		skb = nic_take(nic, &queue->rx, NIC_BUFFER, DMA_FROM_DEVICE);
		if (flags & NIC_TRUNCATED || len < ETH_HLEN || len > NIC_BUFFER) {
			dev_core_stats_rx_dropped_inc(queue->dev);
			dev_kfree_skb_any(skb);
			continue;
		}
		dev_sw_netstats_rx_add(queue->dev, len);
		skb_put(skb, len);
		skb->protocol = eth_type_trans(skb, queue->dev);
		skb_record_rx_queue(skb, queue->number);
		napi_gro_receive(&queue->napi, skb);
	}
	return count;
}

static unsigned int nic_complete(struct nic *nic, struct nic_queue *queue, int budget)
{
	struct netdev_queue *txq = netdev_get_tx_queue(queue->dev, queue->number);
	unsigned int packets = 0, bytes = 0;
	struct sk_buff *skb;

	while (nic_done(&queue->tx)) {
		skb = nic_take_sent(nic, &queue->tx);
		packets++;
		bytes += skb->len;
		napi_consume_skb(skb, budget);
	}
	if (!packets)
		return 0;
	dev_sw_netstats_tx_add(queue->dev, packets, bytes);
	netdev_tx_completed_queue(txq, packets, bytes);
	/* Pairs with nic_xmit(): either sees what the other has done. */
	smp_mb();
	if (netif_tx_queue_stopped(txq) && nic_room(&queue->tx) >= NIC_TX_ENTRIES / 4)
		netif_tx_wake_queue(txq);
	return packets;
}

/* An interrupt with nothing done may say that the queue has stopped. */
static void nic_check(struct nic *nic, struct nic_queue *queue)
{
	u32 errors = ioread32(nic->regs + NIC_ERRORS);

	/* All ones come from a card that is gone. */
	if (errors & BIT(queue->number) && !PCI_POSSIBLE_ERROR(errors))
		schedule_work(&nic->restart);
}

static int nic_poll(struct napi_struct *napi, int budget)
{
	struct nic_queue *queue = container_of(napi, struct nic_queue, napi);
	struct nic *nic = netdev_priv(queue->dev);
	unsigned int sent;
	int received;

	sent = nic_complete(nic, queue, budget);
	received = nic_receive(nic, queue, budget);
	nic_give_buffers(nic, queue);
	if (!sent && !received)
		nic_check(nic, queue);
	if (received < budget)
		napi_complete_done(napi, received);
	return received;
}

/*
 * Nothing is switched off while the queue is polled: an interrupt that comes
 * meanwhile has it polled once more.
 */
static irqreturn_t nic_irq(int irq, void *data)
{
	struct nic_queue *queue = data;

	napi_schedule(&queue->napi);
	return IRQ_HANDLED;
}

static netdev_tx_t nic_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct nic *nic = netdev_priv(dev);
	struct nic_queue *queue = &nic->queues[skb_get_queue_mapping(skb)];
	struct netdev_queue *txq = netdev_get_tx_queue(dev, queue->number);
	unsigned int len = skb->len;
	bool ring;

	if (nic_put(nic, &queue->tx, skb, len, DMA_TO_DEVICE)) {
		dev_core_stats_tx_dropped_inc(dev);
		dev_kfree_skb_any(skb);
		/* The last packet of a burst rings for those before it. */
		ring = !netdev_xmit_more();
	} else {
		/* From here on the packet may be sent and gone. */
		if (!nic_room(&queue->tx)) {
			netif_tx_stop_queue(txq);
			/* Pairs with nic_complete(). */
			smp_mb();
			if (nic_room(&queue->tx))
				netif_tx_start_queue(txq);
		}
		ring = __netdev_tx_sent_queue(txq, len, netdev_xmit_more());
	}
	if (ring)
		iowrite32(queue->tx.tail, nic->regs + NIC_TX_DOORBELL(queue->number));
	return NETDEV_TX_OK;
}

static void nic_timeout(struct net_device *dev, unsigned int txq)
{
	struct nic *nic = netdev_priv(dev);

	netdev_err(dev, "queue %u does not send, errors %#x\n", txq,
		   ioread32(nic->regs + NIC_ERRORS));
	schedule_work(&nic->restart);
}

static void nic_queue_start(struct nic *nic, struct nic_queue *queue)
{
	unsigned int number = queue->number;

	queue->tx.head = queue->tx.tail = 0;
	queue->rx.head = queue->rx.tail = 0;
	lo_hi_writeq(queue->tx.addr, nic->regs + NIC_TX_RING(number));
	lo_hi_writeq(queue->rx.addr, nic->regs + NIC_RX_RING(number));
	iowrite32(queue->tx.size, nic->regs + NIC_TX_SIZE(number));
	iowrite32(queue->rx.size, nic->regs + NIC_RX_SIZE(number));
}

/* Sets up a card that is off and may have errors: all queues start anew. */
static void nic_up(struct nic *nic)
{
	struct net_device *dev = nic->dev;
	int i;

	iowrite32(GENMASK(NIC_QUEUES - 1, 0), nic->regs + NIC_ERRORS);
	for (i = 0; i < NIC_QUEUES; i++)
		nic_queue_start(nic, &nic->queues[i]);
	iowrite32(NIC_CONTROL_WORKS, nic->regs + NIC_CONTROL);
	for (i = 0; i < NIC_QUEUES; i++) {
		netdev_tx_reset_queue(netdev_get_tx_queue(dev, i));
		napi_enable(&nic->queues[i].napi);
		/* This gives the card its buffers. */
		nic_schedule(&nic->queues[i]);
	}
	iowrite32(GENMASK(NIC_QUEUES - 1, 0), nic->regs + NIC_INTERRUPTS);
	/* What the kernel has kept meanwhile goes out now. */
	netif_tx_wake_all_queues(dev);
}

/* The registers are cleared by being read. */
static void nic_count_missed(struct nic *nic)
{
	u32 dropped;
	int i;

	for (i = 0; i < NIC_QUEUES; i++) {
		dropped = ioread32(nic->regs + NIC_DROPPED(i));
		if (!PCI_POSSIBLE_ERROR(dropped))
			atomic64_add(dropped, &nic->missed);
	}
}

static void nic_off(struct nic *nic)
{
	iowrite32(0, nic->regs + NIC_INTERRUPTS);
	iowrite32(0, nic->regs + NIC_CONTROL);
	/* The answer comes when the card has stopped: it reaches no memory then. */
	nic_count_missed(nic);
}

static void nic_down(struct nic *nic)
{
	struct nic_queue *queue;
	int i;

	netif_tx_disable(nic->dev);
	nic_off(nic);
	for (i = 0; i < NIC_QUEUES; i++) {
		queue = &nic->queues[i];
		napi_disable(&queue->napi);
		cancel_delayed_work_sync(&queue->refill);
		while (queue->tx.head != queue->tx.tail)
			dev_kfree_skb_any(nic_take_sent(nic, &queue->tx));
		while (queue->rx.head != queue->rx.tail)
			dev_kfree_skb_any(nic_take(nic, &queue->rx, NIC_BUFFER, DMA_FROM_DEVICE));
	}
}

static void nic_restart(struct work_struct *work)
{
	struct nic *nic = container_of(work, struct nic, restart);

	rtnl_lock();
	if (netif_running(nic->dev) && netif_device_present(nic->dev)) {
		if (net_ratelimit())
			netdev_warn(nic->dev, "restarts, errors %#x\n",
				    ioread32(nic->regs + NIC_ERRORS));
		nic_down(nic);
		nic_up(nic);
	}
	rtnl_unlock();
}

static int nic_open(struct net_device *dev)
{
	struct nic *nic = netdev_priv(dev);
	int ret;

	ret = pm_runtime_resume_and_get(&nic->pdev->dev);
	if (ret)
		return ret;
	nic_up(nic);
	return 0;
}

static int nic_stop(struct net_device *dev)
{
	struct nic *nic = netdev_priv(dev);

	nic_down(nic);
	pm_runtime_put(&nic->pdev->dev);
	return 0;
}

static void nic_stats(struct net_device *dev, struct rtnl_link_stats64 *stats)
{
	struct nic *nic = netdev_priv(dev);

	dev_get_tstats64(dev, stats);
	/* A card that sleeps does not answer. */
	if (netif_running(dev) && netif_device_present(dev))
		nic_count_missed(nic);
	stats->rx_missed_errors = atomic64_read(&nic->missed);
}

static const struct net_device_ops nic_ops = {
	.ndo_open = nic_open,
	.ndo_stop = nic_stop,
	.ndo_start_xmit = nic_xmit,
	.ndo_tx_timeout = nic_timeout,
	.ndo_get_stats64 = nic_stats,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_validate_addr = eth_validate_addr,
};

static int nic_ring_init(struct device *parent, struct nic_ring *ring, u32 size)
{
	ring->size = size;
	ring->desc = dmam_alloc_coherent(parent, size * sizeof(*ring->desc), &ring->addr,
					 GFP_KERNEL);
	ring->buffers = devm_kcalloc(parent, size, sizeof(*ring->buffers), GFP_KERNEL);
	return ring->desc && ring->buffers ? 0 : -ENOMEM;
}

static int nic_queue_init(struct net_device *dev, unsigned int number)
{
	struct nic *nic = netdev_priv(dev);
	struct nic_queue *queue = &nic->queues[number];
	struct device *parent = &nic->pdev->dev;
	int ret;

	queue->dev = dev;
	queue->number = number;
	ret = nic_ring_init(parent, &queue->tx, NIC_TX_ENTRIES) ?:
	      nic_ring_init(parent, &queue->rx, NIC_RX_ENTRIES);
	if (ret)
		return ret;
	INIT_DELAYED_WORK(&queue->refill, nic_refill);
	netif_napi_add(dev, &queue->napi, nic_poll);
	return devm_request_irq(parent, pci_irq_vector(nic->pdev, number), nic_irq, 0, "nic_lite",
				queue);
}

static void nic_free_vectors(void *pdev)
{
	pci_free_irq_vectors(pdev);
}

static int nic_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct net_device *dev;
	struct nic *nic;
	int ret, i;

	dev = devm_alloc_etherdev_mqs(&pdev->dev, sizeof(*nic), NIC_QUEUES, NIC_QUEUES);
	if (!dev)
		return -ENOMEM;
	nic = netdev_priv(dev);
	nic->pdev = pdev;
	nic->dev = dev;
	INIT_WORK(&nic->restart, nic_restart);
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	nic->regs = pcim_iomap(pdev, 0, 0);
	if (!nic->regs)
		return -ENOMEM;
	if (ioread32(nic->regs + NIC_ID) != NIC_ID_VALUE)
		return dev_err_probe(&pdev->dev, -ENODEV, "this is no nic-lite\n");
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	/* Whoever drove it before may have left it on. */
	nic_off(nic);
	pci_set_master(pdev);

	ret = pci_alloc_irq_vectors(pdev, NIC_QUEUES, NIC_QUEUES, PCI_IRQ_MSIX);
	if (ret < 0)
		return ret;
	ret = devm_add_action_or_reset(&pdev->dev, nic_free_vectors, pdev);
	if (ret)
		return ret;
	for (i = 0; i < NIC_QUEUES; i++) {
		ret = nic_queue_init(dev, i);
		if (ret)
			return ret;
	}
	SET_NETDEV_DEV(dev, &pdev->dev);
	dev->netdev_ops = &nic_ops;
	dev->tstats = devm_netdev_alloc_pcpu_stats(&pdev->dev, struct pcpu_sw_netstats);
	if (!dev->tstats)
		return -ENOMEM;
	/* Whom should one ask for an address? There is nobody else at the wire. */
	dev->flags |= IFF_NOARP;
	eth_hw_addr_random(dev);
	pci_set_drvdata(pdev, dev);
	ret = register_netdev(dev);
	if (ret)
		return ret;
	/* While the interface is down the card may sleep, if the user allows it. */
	pm_runtime_put_noidle(&pdev->dev);
	return 0;
}

static void nic_remove(struct pci_dev *pdev)
{
	struct net_device *dev = pci_get_drvdata(pdev);
	struct nic *nic = netdev_priv(dev);

	pm_runtime_get_noresume(&pdev->dev);
	unregister_netdev(dev);
	cancel_work_sync(&nic->restart);
}

/* The rings and their content are dropped, as by a cable that is pulled. */
static int nic_suspend(struct device *parent)
{
	struct net_device *dev = dev_get_drvdata(parent);

	rtnl_lock();
	netif_device_detach(dev);
	if (netif_running(dev))
		nic_down(netdev_priv(dev));
	rtnl_unlock();
	return 0;
}

static int nic_resume(struct device *parent)
{
	struct net_device *dev = dev_get_drvdata(parent);

	rtnl_lock();
	if (netif_running(dev))
		nic_up(netdev_priv(dev));
	netif_device_attach(dev);
	rtnl_unlock();
	return 0;
}

static DEFINE_SIMPLE_DEV_PM_OPS(nic_pm, nic_suspend, nic_resume);

static const struct pci_device_id nic_ids[] = { { PCI_DEVICE(0x1bed, 0x0002) }, {} };
MODULE_DEVICE_TABLE(pci, nic_ids);

static struct pci_driver nic_driver = {
	.name = "nic_lite",
	.id_table = nic_ids,
	.probe = nic_probe,
	.remove = nic_remove,
	.driver.pm = pm_sleep_ptr(&nic_pm),
};
module_pci_driver(nic_driver);

MODULE_DESCRIPTION("Driver of the network card in miniature of irqbed");
MODULE_LICENSE("GPL");
